package process

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"
)

// A client that keeps its connection is asked to leave it before it is closed, and not in the
// middle of its next request.
func TestKeptConnectionsAreGivenUpInTime(t *testing.T) {
	t.Parallel()
	listener, err := Listen(t.Context(), "HTTP_ADDR", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	stopping, signal := context.WithCancel(t.Context())
	log := slog.New(slog.DiscardHandler)
	known, done := make(chan bool), make(chan error, 1)
	go func() {
		done <- Run(stopping, log, time.Minute,
			Stage{func(ctx context.Context) error {
				handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
				return ServeHTTP(ctx, stopping, log,
					&http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}, listener, time.Minute)
			}},
			Stage{func(ctx context.Context) error { <-ctx.Done(); <-known; return nil }}) // as Linger does
	}()
	kept, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	answers := bufio.NewReader(kept)
	ask := func(wantClose bool) {
		t.Helper()
		fmt.Fprint(kept, "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 0\r\n\r\n")
		answer, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if text, err := io.ReadAll(answer.Body); string(text) != "ok" || err != nil || answer.Close != wantClose {
			t.Errorf("got %q, %v, to be closed: %v", text, err, answer.Close)
		}
	}
	ask(false)
	ask(false)
	signal()
	ask(true)
	close(known)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
