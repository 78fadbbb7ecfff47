// Package inventorymigrations holds the SQL of the schema inventory and of no other.
package inventorymigrations

import "embed"

// FS holds the migrations, named 0001_what.sql, which go forward only, and the code before and
// after each can read the result. In seed are the products of an empty development schema: its
// scripts change nothing that is already there, so they may run at each start.
//
//go:embed *.sql seed
var FS embed.FS
