// Package notificationsmigrations holds the SQL of the notifications schema and of no other.
package notificationsmigrations

import "embed"

// FS holds the migrations, in the order of their numbers.
//
//go:embed *.sql
var FS embed.FS
