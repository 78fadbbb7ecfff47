package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/process"
)

// Program is a command that serves modules, with the settings C beside those of every process. Of
// each module, <MODULE>_DATABASE_URL is the connection on its runtime role, <MODULE>_MIGRATE_URL
// that on its migration role, and <MODULE>_NATS_SEED the secret of its key at the broker.
type Program[C any] struct {
	Name       string
	Migrations map[string]fs.FS // of each module that the program can serve
	// Serves returns which of them it serves; without it, all.
	Serves func() ([]string, error)
	// Bus opens a module's connection to the others, with the secret of its key, if it has one.
	Bus func(cfg C, module, seed string, log *slog.Logger) (Bus, error)
	// Wire adds the modules, and passes each what it needs of the others. It is the composition root.
	Wire func(cfg C, add Add)
}

// Add adds a module to the process, unless the process does not serve it: then newModule is not
// called.
type Add func(module string, newModule func(p *Parts) Module)

// Parts are what the process gives to a module.
type Parts struct {
	DB     *postgres.DB
	Log    *slog.Logger
	outbox func() *events.Outbox
}

// Outbox returns the module's outbox, for a module that publishes. It takes the events of Publishes
// and no others.
func (p *Parts) Outbox() *events.Outbox { return p.outbox() }

// Main runs the verb that the first argument names, and returns the exit code, as process.Main
// does.
func (p Program[C]) Main() int {
	return process.Main(
		process.Verb{Name: "serve", Help: "serve the modules until a signal comes", Run: p.serve},
		process.Verb{Name: "migrate", Help: "migrate the modules' schemas; do it before serving", Run: p.migrate},
		process.Verb{Name: "seed", Help: "insert the modules' sample data, and leave what is there as it is", Run: p.seed},
		process.Verb{Name: "describe", Help: "print as JSON what the modules offer and use; it needs no settings", Run: p.describe},
	)
}

func (p Program[C]) serve(ctx context.Context, _ []string) error {
	cfg, err := process.Config[struct {
		Service Config
		Program C
	}]()
	if err != nil {
		return err
	}
	urls, err := p.urls("DATABASE_URL")
	if err != nil {
		return err
	}
	log := cfg.Service.Log.Install(p.Name)
	buses, err := p.buses(cfg.Program, log, slices.Sorted(maps.Keys(urls)))
	if err != nil {
		return errors.Join(err, closeAll(buses))
	}
	guarded := []any{cfg, addresses{"DATABASE_URL", urls}}
	for _, module := range slices.Sorted(maps.Keys(buses)) {
		guarded = append(guarded, buses[module])
	}
	unsafe, err := process.Guard(guarded...)
	if err != nil {
		return errors.Join(err, closeAll(buses))
	}
	if len(unsafe) > 0 {
		log.InfoContext(ctx, "ENVIRONMENT is development, which accepts what production refuses", "unsafe", unsafe)
	}
	h, err := openHost(ctx, p.Name, buses, log, cfg.Service)
	if err != nil {
		return err
	}
	defer h.close()
	h.serves = slices.Sorted(maps.Keys(urls))
	if err := p.wire(cfg.Program, h.serves, func(module string, newModule func(*Parts) Module) error {
		return h.add(ctx, module, urls[module], p.Migrations[module], newModule)
	}); err != nil {
		return err
	}
	return h.run(ctx)
}

// buses opens the bus of each module. After an error it returns those that are open.
func (p Program[C]) buses(cfg C, log *slog.Logger, modules []string) (map[string]Bus, error) {
	buses := map[string]Bus{}
	for _, module := range modules {
		seed, err := process.Value(strings.ToUpper(module) + "_NATS_SEED")
		if err != nil {
			return buses, err
		}
		bus, err := p.Bus(cfg, module, seed, log)
		if err != nil {
			return buses, err
		}
		buses[module] = bus
	}
	return buses, nil
}

// closeAll closes the buses at the same time.
func closeAll(buses map[string]Bus) error {
	var closing errgroup.Group
	for _, bus := range buses {
		closing.Go(bus.Close)
	}
	return closing.Wait()
}

// wire calls add for the modules in serves, until one fails. Each must be there, and none that the
// program has no migrations of.
func (p Program[C]) wire(cfg C, serves []string, add func(module string, newModule func(*Parts) Module) error) error {
	var err error
	missing := slices.Sorted(slices.Values(serves))
	var wired []string
	p.Wire(cfg, func(module string, newModule func(*Parts) Module) {
		i := slices.Index(missing, module)
		switch {
		case err != nil:
		case p.Migrations[module] == nil:
			err = fmt.Errorf("%s wires %s, and has no migrations of it", p.Name, module)
		case slices.Contains(wired, module):
			err = fmt.Errorf("%s wires %s twice", p.Name, module)
		case i >= 0:
			missing = slices.Delete(missing, i, i+1)
			err = add(module, newModule)
		}
		wired = append(wired, module)
	})
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("%s has the migrations of %s, and does not wire it", p.Name, strings.Join(missing, ", "))
	}
	return err
}

// add opens the module's database and serves the module.
func (h *host) add(ctx context.Context, module, url string, migrations fs.FS, newModule func(*Parts) Module) error {
	db, err := h.database(ctx, module, url, migrations)
	if err != nil {
		return err
	}
	outbox := sync.OnceValue(func() *events.Outbox { return h.outbox(db) })
	m := newModule(&Parts{db, h.log.With("module", module), outbox})
	if published := m.Publishes(); len(published) > 0 {
		outbox().Allow(published)
	}
	return h.serve(ctx, db, m)
}

// urls returns the setting <MODULE>_<what> of each module that the program serves, or a usage error
// that names those which are not set.
func (p Program[C]) urls(what string) (map[string]string, error) {
	serves := slices.Sorted(maps.Keys(p.Migrations))
	if p.Serves != nil {
		var err error
		if serves, err = p.Serves(); err != nil {
			return nil, err
		}
	}
	urls, unset := map[string]string{}, []string(nil)
	for _, module := range serves {
		setting := strings.ToUpper(module) + "_" + what
		var err error
		if urls[module], err = process.Value(setting); err != nil {
			return nil, err
		}
		if urls[module] == "" {
			unset = append(unset, setting)
		}
	}
	if len(unset) > 0 {
		return nil, process.Usage(fmt.Errorf("not set: %s", strings.Join(unset, ", ")))
	}
	return urls, nil
}

// addresses are the settings <MODULE>_<what>, by module.
type addresses struct {
	what string
	urls map[string]string
}

// Unsafe returns those by which a password, or data, could be read on its way.
func (a addresses) Unsafe() (found []string) {
	for _, module := range slices.Sorted(maps.Keys(a.urls)) {
		if postgres.InTheClear(a.urls[module]) {
			found = append(found, strings.ToUpper(module)+"_"+a.what+" may reach another host without TLS: add sslmode=verify-full to it")
		}
	}
	return found
}

// describe makes every module as serve does, on databases that are never opened. So it fails when a
// New reads, or leaves something running.
func (p Program[C]) describe(context.Context, []string) error {
	var descriptions []Description
	modules := slices.Sorted(maps.Keys(p.Migrations))
	err := p.wire(process.Defaults[C](), modules, func(module string, newModule func(*Parts) Module) error {
		d, err := inert(module, newModule)
		if err == nil {
			d.Migrations, err = fs.Glob(p.Migrations[module], "*.sql")
		}
		descriptions = append(descriptions, d)
		return err
	})
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	return out.Encode(descriptions)
}

// inert makes a module without a database, describes it, and checks that this is all that happens.
func inert(module string, newModule func(*Parts) Module) (d Description, err error) {
	made := false
	defer func() {
		if r := recover(); r != nil && !made {
			err = fmt.Errorf("%s panics in New where there is no database: %v", module, r)
		} else if r != nil {
			panic(r)
		}
	}()
	db, log := postgres.NewDB(module, nil), slog.New(slog.DiscardHandler)
	before := runtime.NumGoroutine()
	m := newModule(&Parts{db, log, func() *events.Outbox {
		return events.NewOutbox(db, events.NewMemoryBus(), events.Config{}, log)
	}})
	made = true
	if d, err = Describe(module, m); err != nil {
		return d, err
	}
	m.Workers()
	if n := runtime.NumGoroutine() - before; n > 0 {
		return d, fmt.Errorf("%s leaves %d goroutines running before it is served: let what Workers returns start them", module, n)
	}
	return d, nil
}
