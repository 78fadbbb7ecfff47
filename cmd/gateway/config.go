package main

import (
	"time"

	"example.com/shop/platform/process"
	"example.com/shop/platform/telemetry"
)

// config is everything that the gateway can be told by its environment; where requests go is in the routes file.
type config struct {
	// Where clients connect.
	Addr string `env:"GATEWAY_ADDR" envDefault:"127.0.0.1:8080"`
	// The routes file, which is watched.
	Routes string `env:"GATEWAY_ROUTES" envDefault:"deploy/routes.yaml"`
	// Where /livez, /readyz and /routes listen, apart from the clients.
	OpsAddr string `env:"OPS_ADDR" envDefault:"127.0.0.1:8081"`
	// How long requests under way may take to finish when the process stops.
	StopGrace time.Duration `env:"STOP_GRACE" envDefault:"35s"`
	// How long the process serves on after /readyz says that it stops, so that whoever sends requests has seen it.
	DrainAfter time.Duration `env:"DRAIN_AFTER" envDefault:"2s"`

	// For one request to arrive, headers and body.
	ReadTimeout time.Duration `env:"GATEWAY_READ_TIMEOUT" envDefault:"10s"`
	// For an upstream to begin its answer. It exceeds the deadline of the shop's own handlers, so that these answer first.
	AnswerTimeout time.Duration `env:"GATEWAY_ANSWER_TIMEOUT" envDefault:"20s"`
	// For everything: both attempts, and the whole answer.
	Timeout time.Duration `env:"GATEWAY_TIMEOUT" envDefault:"30s"`
	// How long a client's connection may rest.
	IdleTimeout time.Duration `env:"GATEWAY_IDLE_TIMEOUT" envDefault:"2m"`
	// The most requests under way at once on one route; more are answered with 503. All routes together have no limit, or orders that
	// take every place could get no quote: orders asks for it through this same façade.
	MaxRequests int `env:"GATEWAY_MAX_REQUESTS" envDefault:"2048"`

	// How often every upstream's probe is asked; the routes file is read twice as often.
	Interval time.Duration `env:"GATEWAY_INTERVAL" envDefault:"1s"`
	// An upstream that fails this often in a row is left alone …
	EjectAfter int `env:"GATEWAY_EJECT_AFTER" envDefault:"5"`
	// … for so long; then one request tries it again.
	EjectFor time.Duration `env:"GATEWAY_EJECT_FOR" envDefault:"5s"`
	// How long a shadow may take to answer.
	ShadowTimeout time.Duration `env:"GATEWAY_SHADOW_TIMEOUT" envDefault:"2s"`

	Log       process.Log
	Telemetry telemetry.Config
}

// Limits that nobody should have to set. They match those of the shop's own server, so the façade neither hides nor adds any.
const (
	maxHeader = 16 << 10
	maxBody   = 1 << 20
	// A body up to this size is kept until the answer is there, in case that it has to be sent again.
	maxReplay = 64 << 10
)
