package architecture

import (
	"path"
	"regexp"
	"strconv"
	"strings"
)

// imports says which folder may import which. It is a table, read from the top: the first row that fits a file decides.
var imports = rule{
	name: "imports",
	why: "what one module knows of another's inside has to change together with it, so neither can leave; " +
		"see \"Boundaries by technical layer\" in architecture/README.md",
	check: func(t Tree) findings {
		var f findings
		for _, name := range t.GoFiles(true) {
			f.subjects++
			for _, i := range t.Imports(name) {
				what, fix := refuse(t, name, i.Path)
				if what != "" {
					f.add(name+":"+strconv.Itoa(i.Line), "imports "+i.Path+": "+what, fix)
				}
			}
		}
		return f
	},
	refuses: []plant{
		{name: "a module imports another module", file: "modules/orders/pay.go",
			text: `package orders

import _ "example.com/shop/modules/payments"`, want: "modules/orders/pay.go:3: imports example.com/shop/modules/payments"},
		{name: "a module's test imports another module", file: "modules/orders/pay_test.go",
			text: `package orders

import _ "example.com/shop/modules/payments"`, want: "another module's inside"},
		{name: "a module imports another's migrations", file: "modules/orders/pay.go",
			text: `package orders

import _ "example.com/shop/migrations/payments"`, want: "another module's schema"},
		{name: "a contract imports a library", file: "modules/orders/ordersapi/id.go",
			text: `package ordersapi

import _ "github.com/google/uuid"`, want: "a contract"},
		{name: "a contract imports another contract", file: "modules/orders/ordersapi/money.go",
			text: `package ordersapi

import _ "example.com/shop/modules/payments/paymentsapi"`, want: "a contract"},
		{name: "the rules of an order import the database", file: "modules/orders/order.go",
			old: "import (", text: "import (\n\t\"github.com/jackc/pgx/v5\"", want: "rules"},
		{name: "a module imports watermill", file: "modules/orders/bus.go",
			text: `package orders

import _ "github.com/ThreeDotsLabs/watermill/message"`, want: "events.PublishTx"},
		{name: "a module imports the broker's client", file: "modules/orders/bus.go",
			text: `package orders

import _ "github.com/nats-io/nats.go"`, want: "events.PublishTx"},
		{name: "platform imports a module's contract", file: "platform/events/known.go",
			text: `package events

import _ "example.com/shop/modules/orders/ordersapi"`, want: "platform knows no module"},
		{name: "a module imports devkit outside of a test", file: "modules/orders/dev.go",
			text: `package orders

import _ "example.com/shop/platform/devkit/pgtest"`, want: "devkit"},
		{name: "a module imports a command", file: "platform/web/cmd.go",
			text: `package web

import _ "example.com/shop/cmd/gateway"`, want: "a command"},
		{name: "a module imports the shop around it", file: "modules/orders/top.go",
			text: `package orders

import _ "example.com/shop/topology"`, want: "cannot leave"},
		{name: "a service imports another module", file: "cmd/orders/also.go",
			text: `package main

import _ "example.com/shop/modules/payments"`, want: "cmd/orders"},
	},
	accepts: []plant{
		{name: "a module imports another's contract", file: "modules/orders/near.go",
			text: `package orders

import _ "example.com/shop/modules/payments/paymentsapi"`},
		{name: "a module's test imports devkit", file: "modules/orders/near_test.go",
			text: `package orders

import _ "example.com/shop/platform/devkit/pgtest"`},
		{name: "a contract imports the standard library", file: "modules/orders/ordersapi/near.go",
			text: `package ordersapi

import _ "net/http"`},
		{name: "platform imports watermill", file: "platform/service/near.go",
			text: `package service

import _ "github.com/ThreeDotsLabs/watermill/message"`},
	},
}

// refuse says what is wrong with a file's import, and what to do instead; nothing when it is right.
func refuse(t Tree, file, imported string) (what, fix string) {
	folder, ours := Inside(imported)
	owner, contract := owner(folder)
	test := strings.HasSuffix(file, "_test.go")
	bus := strings.HasPrefix(imported, "github.com/ThreeDotsLabs/watermill") || strings.HasPrefix(imported, "github.com/nats-io/")
	me, iAmContract := ownerOfFile(file)
	switch {
	case ours && under(folder, "cmd"):
		return "nothing imports a command", "move what is shared to platform/, or to a folder beside topology/"
	case iAmContract && (ours || !standard(imported)):
		return "a contract promises and needs nothing but the standard library", "say it in plain types: a listener links all that a contract imports"
	case bus && !under(file, "platform") && !under(file, "test"):
		return "which bus there is, modules never see", "publish with events.PublishTx and listen with events.On"
	case ours && under(folder, "platform/devkit") && !under(file, "platform/devkit") && !test && !under(file, "cmd/seam") && !under(file, "topology"):
		return "devkit is for development", "use it from tests, or from cmd/seam: no production binary links it"
	case under(file, "platform") && owner != "":
		return "platform knows no module", "take what it needs as an argument, or move it into modules/" + owner
	case me == "":
		return command(file, owner, contract)
	case rules(t, file) && !standard(imported):
		return "the rules of a module are plain Go", "keep what asks the database or the network in the use case's file, and hand the rules values"
	case owner != "" && owner != me && under(folder, "migrations"):
		return "this is another module's schema", "ask the module " + owner + " through its contract, or listen to its events"
	case owner != "" && owner != me && !contract:
		return "this is another module's inside", "import " + owner + "api, its contract: listen to its events, or call what it offers there"
	case ours && owner == "" && !under(folder, "platform"):
		return "a module that needs the shop around it cannot leave it", "move what it needs to platform/"
	}
	return "", ""
}

// command says what is wrong when a service of one module imports another's inside. The monolith may import all.
func command(file, owner string, contract bool) (what, fix string) {
	dir, name := path.Split(path.Dir(file))
	if dir == "cmd/" && owner != "" && owner != name && !contract && name != "monolith" && name != "seam" {
		return "cmd/" + name + " runs its own module and no other", "let it call or hear the other through " + owner + "api"
	}
	return "", ""
}

// owner is the module that a folder belongs to, and whether the folder is its contract.
func owner(folder string) (module string, contract bool) {
	parts := strings.Split(folder, "/")
	if len(parts) < 2 || parts[0] != "modules" && parts[0] != "migrations" {
		return "", false
	}
	return parts[1], parts[0] == "modules" && len(parts) > 2 && parts[2] == parts[1]+"api"
}

// ownerOfFile is the same for a file.
func ownerOfFile(file string) (module string, contract bool) { return owner(path.Dir(file)) }

func under(name, folder string) bool { return name == folder || strings.HasPrefix(name, folder+"/") }

// standard says that an import is the standard library's: its first element has no dot.
func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

// rulesOf finds the links in the row of a module's canvas that names the files of its rules.
var rulesOf = regexp.MustCompile(`(?m)^\| \*\*Rules\*\* \|.*$`)

// rules says that a file holds a module's rules: its canvas says so.
func rules(t Tree, file string) bool {
	module, _ := ownerOfFile(file)
	row := rulesOf.FindString(t["modules/"+module+"/README.md"])
	return strings.Contains(row, "("+path.Base(file)+")") && path.Dir(file) == "modules/"+module
}
