// Command sandbox runs the external systems that the modules call, simulated: each is a package
// <module>sim of its module. No money moves, and no mail is delivered. `make run`, the acceptance
// suite and the compose files run it beside the processes that it is outside of; bin/sandbox serve
// runs it alone, and prints the settings that lead to it.
package main

import (
	"os"

	"example.com/shop/modules/notifications/notificationssim"
	"example.com/shop/modules/payments/paymentssim"
	"example.com/shop/platform/devkit/sandbox"
)

func main() {
	os.Exit(sandbox.Main([]sandbox.Sim{
		paymentssim.InSandbox,      // the payment provider
		notificationssim.InSandbox, // the mail server
	}))
}
