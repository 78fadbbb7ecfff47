// Package paymentsmigrations holds the DDL of the schema payments and nothing of any other schema.
package paymentsmigrations

import "embed"

// FS holds the migrations in the order of their numbers.
//
//go:embed *.sql
var FS embed.FS
