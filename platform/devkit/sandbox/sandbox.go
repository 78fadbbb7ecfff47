// Package sandbox runs simulated external systems, and says which settings lead to them. It knows
// none: each belongs to the module that calls it.
package sandbox

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"example.com/shop/platform/process"
)

// Sim starts a simulated system in a sandbox, and returns once it listens.
type Sim func(ctx context.Context, b *Box) error

// Box is a running sandbox.
type Box struct {
	settings
	freePorts bool
	group     *errgroup.Group // of what serves
	closers   []func() error
	lines     []string // NAME=value
}

type settings struct {
	// The address that all systems listen on.
	Host string `env:"SANDBOX_HOST" envDefault:"127.0.0.1"`
	// The folder of what they keep over a restart.
	State string `env:"SEAM_STATE" envDefault:".seam"`
}

const about = `sandbox serve runs the external systems, simulated, at the addresses of their settings; Ctrl-C stops it.
It prints the settings that lead to them, and for each page that a person may open a line NAME_PAGE=address.
Settings: SANDBOX_HOST (127.0.0.1), SEAM_STATE (.seam), and those of the systems, in the modules' READMEs.`

// Main is the main function of a program that runs the systems until a signal comes. It returns the
// exit code, as process.Main does.
func Main(sims []Sim) int {
	return process.Main(process.Verb{
		Name: "serve", Args: "[--write FILE] [--free-ports]", Help: "run the external systems, simulated, until a signal comes",
		Run: func(ctx context.Context, args []string) error { return serve(ctx, args, sims) },
	})
}

func serve(ctx context.Context, args []string, sims []Sim) (err error) {
	b := &Box{}
	set := flag.NewFlagSet("serve", flag.ContinueOnError)
	file := set.String("write", "", "write the settings to this file instead, once all systems listen")
	set.BoolVar(&b.freePorts, "free-ports", false, "listen on any free ports")
	usage := set.Usage
	set.Usage = func() { fmt.Fprintln(set.Output(), about); usage() }
	if err := set.Parse(args); err != nil {
		return process.Usage(err)
	}
	if set.NArg() > 0 {
		return process.Usage(fmt.Errorf("%q is more than sandbox serve takes", set.Arg(0)))
	}
	if b.settings, err = process.Config[settings](); err != nil {
		return err
	}
	if err := os.MkdirAll(b.State, 0o755); err != nil {
		return process.Usage(err)
	}
	b.group, ctx = errgroup.WithContext(ctx)
	defer func() {
		for _, c := range slices.Backward(b.closers) {
			err = errors.Join(err, c())
		}
	}()
	for _, start := range sims {
		if err := start(ctx, b); err != nil {
			return err
		}
	}
	b.group.Go(func() error { <-ctx.Done(); return nil }) // also without any system
	text := strings.Join(append(b.lines, ""), "\n")
	if *file == "" {
		fmt.Print(text)
	} else if err := write(*file, text); err != nil {
		return err
	}
	return b.group.Wait()
}

// write creates or replaces a file at once, so that its reader gets all of it.
func write(file, text string) error {
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		return process.Usage(err)
	}
	return os.Rename(file+".new", file)
}

// Addr returns where to listen: at the port, or at any free one.
func (b *Box) Addr(port int) string {
	if b.freePorts {
		port = 0
	}
	return net.JoinHostPort(b.Host, strconv.Itoa(port))
}

// Serve serves HTTP at the port, and returns the URL. When the sandbox ends it cuts off slow
// answers, like a system that fails.
func (b *Box) Serve(ctx context.Context, port int, handler http.Handler) (url string, err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", b.Addr(port))
	if err != nil {
		return "", process.Usage(err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	b.group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	return "http://" + listener.Addr().String(), nil
}

// File returns the path of a file that is kept over a restart.
func (b *Box) File(name string) string { return filepath.Join(b.State, name) }

// OnStop calls a function when the sandbox ends.
func (b *Box) OnStop(c func() error) { b.closers = append(b.closers, c) }

// Set names a setting that leads to a system.
func (b *Box) Set(name, value string) { b.lines = append(b.lines, name+"="+value) }
