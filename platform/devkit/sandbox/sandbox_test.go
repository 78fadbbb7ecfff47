package sandbox

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/shop/platform/process"
)

// lamps is a simulated system with a page and something to close.
func lamps(port int, closed *bool) Sim {
	return func(ctx context.Context, b *Box) error {
		b.OnStop(func() error { *closed = true; return nil })
		url, err := b.Serve(ctx, port, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("lit")) }))
		b.Set("LAMPS_URL", url)
		return err
	}
}

// The file is there once all listen, and is whole.
func TestItSaysWhatLeadsToTheSystems(t *testing.T) {
	t.Setenv("SEAM_STATE", t.TempDir())
	file, closed := filepath.Join(t.TempDir(), "outside.env"), false
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, []string{"--free-ports", "--write", file}, []Sim{lamps(1, &closed)}) }()
	var text []byte
	for text == nil {
		select {
		case err := <-ended:
			t.Fatalf("it ended: %v", err)
		case <-time.After(time.Millisecond):
			text, _ = os.ReadFile(file)
		}
	}
	url, ok := strings.CutPrefix(string(text), "LAMPS_URL=")
	if !ok || !strings.HasSuffix(url, "\n") {
		t.Fatalf("%q", text)
	}
	response, err := http.Get(strings.TrimSpace(url))
	if err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("%v %v", response, err)
	}
	if closed {
		t.Error("closed while it runs")
	}
	stop()
	if err := <-ended; err != nil || !closed {
		t.Errorf("%v, closed: %v", err, closed)
	}
}

func TestWithoutSystemsItRunsUntilItsEnd(t *testing.T) {
	t.Setenv("SEAM_STATE", t.TempDir())
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if err := serve(ctx, nil, nil); err != nil || ctx.Err() == nil {
		t.Errorf("%v, and %v", err, ctx.Err())
	}
}

func TestWhatCannotBeServed(t *testing.T) {
	t.Setenv("SEAM_STATE", t.TempDir())
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	closed := false
	err = serve(t.Context(), nil, []Sim{lamps(busy.Addr().(*net.TCPAddr).Port, &closed)})
	if !errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), "address already in use") || !closed {
		t.Errorf("a port in use: %v, closed: %v", err, closed)
	}
	for _, args := range [][]string{{"--wirte", "x"}, {"lamps"}, {"--write", filepath.Join(t.TempDir(), "none", "x")}} {
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
		if err := serve(ctx, args, nil); !errors.Is(err, process.ErrUsage) {
			t.Errorf("%v: %v, want a usage error", args, err)
		}
		stop()
	}
}
