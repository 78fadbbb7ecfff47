// Package inventorymigrations holds the SQL of inventory's schema and of no other.
package inventorymigrations

import "embed"

// FS holds the migrations, in the order of their numbers.
//
//go:embed *.sql
var FS embed.FS

// Seed fills an empty development schema with products. It changes nothing that is already there, so it may run at each start.
//
//go:embed seed/products.sql
var Seed string
