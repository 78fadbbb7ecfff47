package main

import (
	"time"

	"example.com/shop/platform/edge"
	"example.com/shop/platform/process"
	"example.com/shop/platform/remote"
	"example.com/shop/platform/telemetry"
)

// config is all of the gateway's settings; where requests go is in the routes file.
type config struct {
	// The address for clients.
	Addr string `env:"GATEWAY_ADDR" envDefault:"127.0.0.1:8080"`
	// The address for the shop's own processes, which alone serves what the routes call internal;
	// unset, that is not served. Nothing from outside may reach it.
	InternalAddr string `env:"GATEWAY_INTERNAL_ADDR"`
	// The routes file, with which the gateway starts. PUT /routes replaces its routes while it runs.
	Routes string `env:"GATEWAY_ROUTES" envDefault:"deploy/routes.yaml"`
	// The address of /livez, /readyz and /routes.
	OpsAddr string `env:"OPS_ADDR" envDefault:"127.0.0.1:8081"`
	// What PUT /routes must have as its bearer token, and a request that chooses its side as
	// X-Seam-Secret; unset, both are refused.
	Secret string `env:"GATEWAY_SECRET"`
	// The proxies before the gateway, whose X-Forwarded-For names the client, as in
	// 10.0.0.0/8,192.0.2.7; unset, a client is who connects.
	Proxies remote.Proxies `env:"TRUSTED_PROXIES"`
	// How long requests under way may take when the process stops.
	StopGrace time.Duration `env:"STOP_GRACE" envDefault:"35s"`
	// How long the process serves on after /readyz fails, so that callers notice the stop.
	DrainAfter time.Duration `env:"DRAIN_AFTER" envDefault:"2s" min:"0"`

	// The time for a request to arrive, headers and body.
	ReadTimeout time.Duration `env:"GATEWAY_READ_TIMEOUT" envDefault:"10s"`
	// The time for an upstream to begin its answer; the modules' handlers have less.
	AnswerTimeout time.Duration `env:"GATEWAY_ANSWER_TIMEOUT" envDefault:"20s"`
	// The time for a whole request: both attempts and all of the answer.
	Timeout time.Duration `env:"GATEWAY_TIMEOUT" envDefault:"30s"`
	// How long a client's connection may be idle.
	IdleTimeout time.Duration `env:"GATEWAY_IDLE_TIMEOUT" envDefault:"2m"`
	// The most requests under way on one route, and on each internal part of it; more get 503. There
	// is no limit for all routes: a module that calls another through the façade could exhaust it.
	MaxRequests int `env:"GATEWAY_MAX_REQUESTS" envDefault:"2048"`

	// The most requests of one client address (a /64 of IPv6) whose bodies are still arriving; more get
	// 429. It bounds what is kept of them, too: each has at most its route's max_body.
	MaxBodies int `env:"GATEWAY_MAX_BODIES" envDefault:"256"`

	// The most requests a second of one client address; more get 429. It may save up those of two
	// seconds. It is counted in each process, so two façades admit twice as many.
	AddressRate int `env:"GATEWAY_ADDRESS_RATE" envDefault:"500"`

	// How often the upstreams are probed.
	Interval time.Duration `env:"GATEWAY_INTERVAL" envDefault:"1s" min:"1ms"`
	// After this many failures in a row an upstream is ejected …
	EjectAfter int `env:"GATEWAY_EJECT_AFTER" envDefault:"5"`
	// … for this time. Then one request tries it again.
	EjectFor time.Duration `env:"GATEWAY_EJECT_FOR" envDefault:"5s"`
	// How long a shadow may take to answer.
	ShadowTimeout time.Duration `env:"GATEWAY_SHADOW_TIMEOUT" envDefault:"2s"`

	Edge        edge.Config      // of the address for clients
	Handover    process.Handover // of the listening sockets
	Certificate process.Certificate
	Log         process.Log
	Telemetry   telemetry.Config
}

// maxHeader is no setting. It is the same as that of a process's own server.
const maxHeader = 16 << 10
