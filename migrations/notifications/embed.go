// Package notificationsmigrations holds the SQL of the schema notifications and of no other.
package notificationsmigrations

import "embed"

// FS holds the migrations, named 0001_what.sql. They go forward only, and the code before and after
// each can read the result.
//
//go:embed *.sql
var FS embed.FS
