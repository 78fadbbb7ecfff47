// Package inventorymigrations holds the SQL of the schema inventory and of no other.
package inventorymigrations

import "embed"

// FS holds the migrations, named 0001_what.sql. They go forward only, and the code before and after each can read the result.
//
//go:embed *.sql
var FS embed.FS

// Seed fills an empty development schema with products. It changes nothing that is already there, so it may run at each start.
//
//go:embed seed/products.sql
var Seed string
