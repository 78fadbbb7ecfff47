// Command gateway is the façade: it routes requests to the process that serves their path, so that
// a module can move. It reads only paths and headers, owns no data and knows no module.
//
// It promises that a change of its routes fails no request, that it causes no request without an
// Idempotency-Key to be executed twice, and that a mistake in the routes changes nothing.
package main

import (
	"os"

	"example.com/shop/platform/process"
)

func main() {
	os.Exit(process.Main(process.Verb{Name: "serve", Run: serve,
		Help: "route requests until a signal comes; GATEWAY_ADDR, GATEWAY_ROUTES and OPS_ADDR say where, config.go lists all settings"}))
}
