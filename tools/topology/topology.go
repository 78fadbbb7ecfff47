// Package topology runs the system on one machine: PostgreSQL, the external systems, simulated, and
// the system's own processes. The seam command and the tests use it, so what is tested is what a
// person starts.
//
// Everything it starts ends with the process that started it, even when that is killed.
package topology

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"example.com/shop/architecture"
	"example.com/shop/platform/devkit/broker"
	"example.com/shop/platform/devkit/pgserver"
	"example.com/shop/platform/devkit/pooler"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/events"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
)

// Modules are the bounded contexts, each with a schema of its own.
var Modules = architecture.Modules()

// Options say where and how to run the system. All but Bin may be left zero.
type Options struct {
	Bin         string    // the folder of the built commands
	State       string    // of data and the signing key; a temporary folder when empty
	Port        int       // of the system; any free one when 0
	Split       []string  // the modules that run as processes of their own
	Canary      string    // the module that also runs as a process, with weight 0
	Facade      bool      // a façade and a broker even when nothing is split off
	DatabaseURL string    // an admin connection; a PostgreSQL is started when empty
	RolePrefix  string    // of the roles' names: roles belong to the whole server
	Apart       bool      // each module that is split off has a database of its own, on a second server
	Pooler      string    // a PgBouncer, program or image, before PostgreSQL; none when empty
	Host        string    // where PostgreSQL and the broker listen; the loopback when empty
	OpenBroker  bool      // the broker lets anybody in
	TLS         string    // the folder with cert.pem, key.pem and ca.pem of all processes and the broker; no TLS when empty
	Changes     Changes   // of the modules, which the data is to follow
	Env         []string  // settings of all processes, the simulated outside too, as NAME=value
	Out         io.Writer // progress and the processes' logs
}

// System is a running system.
type System struct {
	URL string // of its routes
	// InternalURL is where what services alone may call is served.
	InternalURL string
	AdminURL    string // of its database; Admin has that of a module
	Plan        postgres.Plan
	Key         *tokens.Key
	Outside     Outside
	Server      *pgserver.Server  // nil for an existing database
	Second      *pgserver.Server  // has the databases of single modules; nil without any
	Broker      *broker.Broker    // nil while the bus is memory
	Seeds       map[string]string // of the broker's users; empty without them
	Routes      string            // the façade's file; "" without a façade
	Secret      string            // the façade's

	options   Options
	gone      []string       // the modules that the monolith does not link
	apart     []string       // the modules with a database of their own
	pooler    *pooler.Pooler // nil when there is none
	processes []*Process
	closers   []func() error
}

// Start starts the system and waits until it is ready. After an error nothing is left running.
func Start(ctx context.Context, o Options) (_ *System, err error) {
	s := &System{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	if len(Modules) == 0 {
		return nil, process.Usage(errors.New("architecture/contextmap.yaml lists no modules, or cannot be read: " +
			"go test -short -run 'TestRules$' ./architecture says why"))
	}
	for i, m := range o.Split {
		if !slices.Contains(Modules, m) {
			return nil, process.Usage(fmt.Errorf("there is no module %q to split off; there are %s",
				m, strings.Join(Modules, ", ")))
		}
		if slices.Contains(o.Split[:i], m) {
			return nil, process.Usage(fmt.Errorf("%s cannot be split off twice", m))
		}
	}
	if o.Canary != "" && (!slices.Contains(Modules, o.Canary) || slices.Contains(o.Split, o.Canary)) {
		return nil, process.Usage(fmt.Errorf("no canary of %q: name a module that is not split off, of %s",
			o.Canary, strings.Join(Modules, ", ")))
	}
	linked, err := Linked(ctx, o.Bin)
	if err != nil {
		return nil, err
	}
	s.gone = except(linked) // they are always split off
	for _, m := range s.gone {
		if m == o.Canary {
			return nil, process.Usage(fmt.Errorf("no canary of %s: the monolith no longer links it", m))
		}
		if !slices.Contains(o.Split, m) {
			o.Split = append(slices.Clone(o.Split), m)
		}
	}
	s.options = o
	if err := s.prepareState(); err != nil {
		return nil, err
	}
	port, err := freePort(ctx, o.Port)
	if err != nil {
		return nil, err
	}
	if err := s.startDatabases(ctx); err != nil {
		return nil, err
	}
	if err := s.startOutside(ctx); err != nil {
		return nil, fmt.Errorf("start the external systems: %w", err)
	}
	if s.Key, err = tokens.LoadOrCreate(keyFile(s.options.State)); err != nil {
		return nil, fmt.Errorf("make the signing key: %w", err)
	}
	if err := s.migrate(ctx); err != nil {
		return nil, err
	}
	internalPort, err := freePort(ctx, 0)
	if err != nil {
		return nil, err
	}
	s.URL, s.InternalURL = s.at(port), s.at(internalPort)
	if len(o.Split) == 0 && o.Canary == "" && !o.Facade {
		if err := s.prepareSchemas(ctx, events.Memory); err != nil {
			return nil, err
		}
		_, err := s.StartMonolith(ctx, port)
		return s, err
	}
	return s, s.startSplit(ctx, port)
}

// Linked returns the modules that the monolith in the folder links.
func Linked(ctx context.Context, bin string) (modules []string, err error) {
	linked, err := describe(ctx, bin, "monolith")
	for _, of := range linked {
		modules = append(modules, of.Module)
	}
	return modules, err
}

// Stop stops everything in the reverse order of its start.
func (s *System) Stop() error {
	var errs []error
	for _, p := range slices.Backward(s.processes) {
		errs = append(errs, p.Stop())
	}
	for _, c := range slices.Backward(s.closers) {
		errs = append(errs, c())
	}
	s.processes, s.closers = nil, nil
	return errors.Join(errs...)
}

// Processes returns the system's own processes in the order of their start.
func (s *System) Processes() []*Process { return s.processes }

// State returns the folder of data and the signing key.
func (s *System) State() string { return s.options.State }

func (s *System) say(format string, args ...any) { fmt.Fprintf(s.options.Out, format+"\n", args...) }

func (s *System) prepareState() error {
	if s.options.State != "" {
		return os.MkdirAll(s.options.State, 0o755) //nolint:gosec // PostgreSQL's user enters it
	}
	dir, err := os.MkdirTemp("", "seam-")
	if err != nil {
		return err
	}
	s.options.State = dir
	s.closers = append(s.closers, func() error { return os.RemoveAll(dir) })
	return os.Chmod(dir, 0o755) //nolint:gosec // PostgreSQL's user enters it
}

// Addresses returns the settings with which an operator reaches the system's broker and schemas.
func (s *System) Addresses() (env []string) {
	if s.Broker != nil {
		env = append(env, "NATS_URL="+s.natsURL(), s.seed(natsbus.Provisioner))
	}
	for _, m := range Modules {
		env = append(env, s.address(m))
	}
	return env
}

func (s *System) address(module string) string {
	address := s.Plan.RuntimeURL(s.Admin(module), module)
	if s.pooler != nil {
		address = s.pooler.Through(address)
	}
	return strings.ToUpper(module) + "_DATABASE_URL=" + address
}

// DefaultState returns .seam in the current folder, or for root a folder below /var/lib/seam: there
// PostgreSQL runs as another user, who may not be able to enter this folder.
func DefaultState() string {
	dir, err := filepath.Abs(".seam")
	if err != nil || os.Geteuid() != 0 {
		return ".seam"
	}
	return filepath.Join("/var/lib/seam", strings.ReplaceAll(strings.Trim(filepath.Dir(dir), "/"), "/", "-"))
}

// Wait waits until ctx ends, or returns an error once a process of the system, the
// broker, PostgreSQL or the simulated outside has ended by itself.
func (s *System) Wait(ctx context.Context) error {
	died := make(chan error, len(s.processes)+3)
	watch := func(name string, p interface {
		Done() <-chan struct{}
		Err() error
	}) {
		go func() {
			select {
			case <-ctx.Done():
			case <-p.Done():
				died <- fmt.Errorf("the system cannot go on: %w", cmp.Or(p.Err(), errors.New(name+" has ended")))
			}
		}()
	}
	for _, p := range s.processes {
		watch(p.Name, p.Process)
	}
	if s.Broker != nil {
		watch("the broker", s.Broker)
	}
	for _, server := range []*pgserver.Server{s.Server, s.Second} {
		if server != nil {
			watch("PostgreSQL", server)
		}
	}
	if s.Outside.Process != nil {
		watch("the sandbox", s.Outside)
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-died:
		return err
	}
}
