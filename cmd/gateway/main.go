// Command gateway is the façade: clients talk to it alone, so a module can move to another process behind its back. It looks at a
// request's path and headers and at nothing else, owns no data and knows no module; what it does is written in its routes file.
//
// It promises that a change of that file fails no request, that no request without an Idempotency-Key is carried out twice because
// of it, and that a mistake in the file changes nothing.
package main

import "example.com/shop/platform/process"

func main() {
	process.Main(process.Verb{Name: "serve", Run: serve,
		Help: "route requests until a signal comes; GATEWAY_ADDR, GATEWAY_ROUTES and OPS_ADDR say where, config.go lists all settings"})
}
