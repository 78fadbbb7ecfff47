// Package paymentsmigrations holds the SQL of the schema payments and of no other.
package paymentsmigrations

import "embed"

// FS holds the migrations, named 0001_what.sql. They go forward only, and the code before and after
// each can read the result.
//
//go:embed *.sql
var FS embed.FS
