package broker_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/shop/platform/devkit/broker"
)

func TestMain(m *testing.M) {
	broker.Play()
	os.Exit(m.Run())
}

func TestKillAndRestart(t *testing.T) {
	t.Parallel()
	b, err := broker.Start(t.Context(), broker.Options{Command: broker.ThisTest})
	if err != nil {
		t.Fatal(err)
	}
	url, pid := b.URL(), b.PID()
	for range 2 {
		if err := b.Kill(); err != nil {
			t.Fatal(err)
		}
		if _, err := net.Dial("tcp", strings.TrimPrefix(url, "nats://")); err == nil {
			t.Error("the port still answers")
		}
		if err := b.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if b.URL() != url || b.PID() == pid {
			t.Errorf("restarted at %s as %d", b.URL(), b.PID())
		}
	}
	if _, err := os.Stat(filepath.Join(b.StoreDir(), "jetstream")); err != nil {
		t.Errorf("the store is elsewhere: %v", err)
	}
	for range 2 {
		if err := b.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
	if _, err := os.Stat(b.StoreDir()); !os.IsNotExist(err) {
		t.Errorf("the temporary store is still there: %v", err)
	}
}

func TestStartErrors(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		options broker.Options
		want    string
	}{
		"no store":    {broker.Options{}, "name a folder"},
		"bad store":   {broker.Options{StoreDir: filepath.Join(file, "store")}, "storage directory"},
		"taken port":  {broker.Options{StoreDir: t.TempDir(), Port: taken}, "address already in use"},
		"not a child": {broker.Options{Command: []string{"/bin/false"}}, "exit code 1"},
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			var err error
			if test.options.Command == nil {
				err = broker.Run(t.Context(), test.options)
			} else {
				_, err = broker.Start(t.Context(), test.options)
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || time.Since(begin) > 10*time.Second {
				t.Errorf("%v after %s, want %q", err, time.Since(begin), test.want)
			}
		})
	}
}
