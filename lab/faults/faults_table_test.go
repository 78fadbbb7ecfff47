package faults

import (
	"math/rand/v2"
	"testing"
)

// faults are the rows of the matrix. Those with failpoints, and other binaries, are last.
var faults = append([]fault{
	{name: "nothing", do: nothing},
	{name: "each process is killed", smoke: topologies, do: killEach},
	{name: "PostgreSQL stops immediately", smoke: []string{monolith}, do: stopPostgres},
	{name: "poison events", smoke: []string{monolith}, do: poisonEvents},
	{name: "the broker is killed", broker: true, smoke: []string{split}, do: killBroker},
	{name: "replicas start at once", smoke: []string{monolith}, replicas: 3, do: startTogether},
	{name: "each process is restarted", do: stopEach},
	{name: "processes are frozen", do: freeze},
	{name: "two versions side by side", replicas: 1, needs: buildReleased, do: twoVersions},
	{name: "overload, few connections", clients: 5 * cellClients, do: overload},
	{name: "PostgreSQL is killed", do: killPostgres},
	{name: "its connections are ended", do: terminateBackends},
	{name: "the way to it is slow", do: slowPostgres},
	{name: "the way to it is a black hole", do: blackHolePostgres},
	{name: "the broker is restarted", broker: true, do: restartBroker},
	{name: "the broker is frozen", broker: true, do: freezeBroker},
	{name: "the way to the broker is slow and cut", broker: true, do: slowBroker},
	{name: "the broker forgets", broker: true, do: emptyBroker},
	{name: "events are late, twice and in disorder", do: disturbDelivery},
	{name: "all events are replayed", do: replay},
	{name: "customers change their minds", do: regret},
	{name: "the provider loses answers", do: moodyProvider},
	{name: "PostgreSQL's disk is full", alone: onSmallDisk, needs: canMount, do: fillDisk},
	{name: "a handler has a bug", do: fixHandler},
	{name: "dies: placed, not committed", do: dieInCommit("orders", "orders", "true")},
	{name: "dies: handled, not committed", do: dieInCommit("", "inbox", "true")},
}, ofFailpoints()...)

func nothing(*testing.T, *shop, *rand.Rand, func(float64)) {}
