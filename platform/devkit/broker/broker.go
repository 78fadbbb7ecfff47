package broker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"example.com/shop/platform/devkit/child"
	"example.com/shop/platform/devkit/freeport"
)

// Broker is a broker in a child process.
type Broker struct {
	options   Options
	temporary bool

	proc atomic.Pointer[child.Process] // Restart replaces it
}

// Start starts a broker and returns when it answers. It ends with this process, even if killed.
func Start(ctx context.Context, o Options) (*Broker, error) {
	if len(o.Command) == 0 {
		return nil, errors.New("start broker: name the command that runs it")
	}
	b := &Broker{options: o}
	if o.StoreDir == "" {
		dir, err := os.MkdirTemp("", "broker-")
		if err != nil {
			return nil, fmt.Errorf("start broker: %w", err)
		}
		b.options.StoreDir, b.temporary = dir, true
	}
	if o.Port == 0 {
		port, err := freeport.Find(ctx)
		if err != nil {
			return nil, errors.Join(err, b.removeTemporary())
		}
		b.options.Port = port
	}
	if err := b.Restart(ctx); err != nil {
		return nil, errors.Join(err, b.removeTemporary())
	}
	return b, nil
}

// URL returns the address for clients, which a Restart keeps.
func (b *Broker) URL() string { return "nats://" + b.address() }

// StoreDir returns the folder of the store, which a test may replace while the broker is down.
func (b *Broker) StoreDir() string { return b.options.StoreDir }

// PID returns the broker's process id.
func (b *Broker) PID() int { return b.proc.Load().PID() }

// Done is closed when the broker has ended, for whatever reason. A Restart makes another channel.
func (b *Broker) Done() <-chan struct{} { return b.proc.Load().Done() }

// Err waits for the end and returns its cause.
func (b *Broker) Err() error { return b.proc.Load().Err() }

// Reload has the broker read its users again.
func (b *Broker) Reload() error { return b.proc.Load().Signal(syscall.SIGHUP) }

// Kill ends the broker by SIGKILL and returns when it has ended.
func (b *Broker) Kill() error {
	p := b.proc.Load()
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.Done()
	return nil
}

// stopGrace is how long the broker may take to write its positions.
const stopGrace = 10 * time.Second

// Stop shuts the broker down and removes a temporary store. It may be called again, and after Kill.
func (b *Broker) Stop() error { return errors.Join(b.end(), b.removeTemporary()) }

// Restart starts the broker again, with the same port and store. It stops a running one first.
func (b *Broker) Restart(ctx context.Context) error {
	if err := b.end(); err != nil {
		return err
	}
	o := b.options
	args := append(append([]string{}, o.Command[1:]...), "--port", strconv.Itoa(o.Port), "--store", o.StoreDir)
	if o.Host != "" {
		args = append(args, "--host", o.Host)
	}
	if o.Users != "" {
		args = append(args, "--users", o.Users)
	}
	p, err := child.Start(child.Options{Name: "broker", Path: o.Command[0], Args: args, Out: o.Log})
	if err != nil {
		return err
	}
	b.proc.Store(p)
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := p.Await(ctx, 20*time.Millisecond, b.greeted); err != nil {
		return errors.Join(fmt.Errorf("start broker: %w", err), b.end())
	}
	return nil
}

func (b *Broker) end() error {
	p := b.proc.Load()
	if p == nil {
		return nil
	}
	select {
	case <-p.Done():
		return nil
	default:
		return p.Stop(stopGrace)
	}
}

func (b *Broker) removeTemporary() error {
	if !b.temporary {
		return nil
	}
	return os.RemoveAll(b.options.StoreDir)
}

// greeted returns nil once the broker greets, for which it must have read its store.
func (b *Broker) greeted(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", b.address())
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "INFO ") {
		err = fmt.Errorf("something else answers on %s", b.address())
	}
	return err
}

func (b *Broker) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(b.options.Port)) }
