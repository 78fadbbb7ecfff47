package faults

import (
	"math/rand/v2"
	"testing"
)

// faults are the rows of the matrix. Those of the edited binaries stand together, so that the shop is exchanged once.
var faults = append([]fault{
	{name: "nothing", only: monolith, smoke: true, do: nothing},
	{name: "nothing", only: split, do: nothing},
	{name: "each process is killed", smoke: true, do: killEach},
	{name: "PostgreSQL stops immediately", only: monolith, smoke: true, do: stopPostgres},
	{name: "PostgreSQL stops immediately", only: split, do: stopPostgres},
	{name: "poison events", only: monolith, smoke: true, do: poisonEvents},
	{name: "poison events", only: split, do: poisonEvents},
	{name: "the broker is killed", only: split, smoke: true, do: killBroker},
	{name: "replicas start at once", only: monolith, smoke: true, replicas: 2, do: startTogether},
	{name: "replicas start at once", only: split, replicas: 4, do: startTogether},
	{name: "each process is restarted", do: stopEach},
	{name: "processes are frozen", do: freeze},
	{name: "two versions side by side", replicas: 1, needs: buildReleased, do: twoVersions},
	{name: "overload, few connections", clients: 5 * cellClients, do: overload},
	{name: "PostgreSQL is killed", do: killPostgres},
	{name: "its connections are ended", do: terminateBackends},
	{name: "the way to it is slow", do: slowPostgres},
	{name: "the way to it is a black hole", do: blackHolePostgres},
	{name: "the broker is restarted", only: split, do: restartBroker},
	{name: "the broker is frozen", only: split, do: freezeBroker},
	{name: "the way to the broker is slow and cut", only: split, do: slowBroker},
	{name: "the broker forgets", only: split, do: emptyBroker},
	{name: "events are late, twice and in disorder", do: disturbDelivery},
	{name: "everything is told again", do: replay},
	{name: "customers change their minds", do: regret},
	{name: "the provider loses answers", do: moodyProvider},
	{name: "PostgreSQL's disk is full", alone: onSmallDisk, needs: canMount, do: fillDisk},
	{name: "a handler panics", edited: true, do: panicking},
}, ofFailpoints()...)

func nothing(*testing.T, *shop, *rand.Rand, func(float64)) {}
