package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A client that keeps its connection is asked to leave it before it is closed, and not in the
// middle of its next request. A request under way is finished.
func TestConnectionsAreGivenUpInTime(t *testing.T) {
	t.Parallel()
	listener, err := Listen(t.Context(), "HTTP_ADDR", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_, err = Listen(t.Context(), "HTTP_ADDR", address)
	if !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), "set HTTP_ADDR") {
		t.Errorf("a port in use: %v", err)
	}
	stopping, signal := context.WithCancel(t.Context())
	log := slog.New(slog.DiscardHandler)
	entered, release := make(chan bool), make(chan bool)
	known, done := make(chan bool), make(chan error, 1)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			entered <- true
			<-release
		}
		fmt.Fprint(w, "ok")
	})
	go func() {
		done <- Run(stopping, log, time.Minute,
			Stage{func(ctx context.Context) error {
				server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
				return ServeHTTP(ctx, stopping, log, server, listener, time.Minute)
			}},
			Stage{func(ctx context.Context) error { <-ctx.Done(); <-known; return nil }}) // as Linger does
	}()
	kept, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	answers := bufio.NewReader(kept)
	ask := func(wantClose bool) {
		t.Helper()
		fmt.Fprint(kept, "POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 0\r\n\r\n")
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
	underWay := make(chan error, 1)
	go func() {
		answer, err := http.Get("http://" + address)
		if err == nil {
			err = answer.Body.Close()
		}
		underWay <- err
	}()
	<-entered
	signal()
	ask(true)
	close(known)
	time.AfterFunc(20*time.Millisecond, func() { close(release) }) // the server is stopping by then
	if err, run := <-underWay, <-done; err != nil || run != nil {
		t.Errorf("a request under way: %v; run: %v", err, run)
	}
}
