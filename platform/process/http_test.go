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

// A server that is stopped leaves new connections to the process that has its socket, and still
// answers those that it has. One whose socket nobody has taken goes on until the end.
func TestAServerYields(t *testing.T) {
	t.Parallel()
	for _, taken := range []bool{true, false} {
		h := handover(t)
		first := listen(t, h, "127.0.0.1:0").(*offered)
		addr := first.Addr().String()
		other := strings.Replace(addr, "127.0.0.1", "127.0.0.2", 1)
		if _, err := h.Listen(t.Context(), "HTTP_ADDR", other); err == nil { // who is refused has taken nothing
			t.Error("another address is accepted")
		}
		var second net.Listener
		if taken {
			second = listen(t, h, addr)
			for first.takers.Load() == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		stopping, signal := context.WithCancel(t.Context())
		running, end := context.WithCancel(t.Context())
		done := make(chan error, 1)
		log := slog.New(slog.DiscardHandler)
		server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Minute}
		go func() { done <- ServeHTTP(running, stopping, log, server, first, time.Minute) }()
		var kept net.Conn
		for answer := (*http.Response)(nil); answer == nil; { // until the first one accepts
			if kept != nil {
				kept.Close()
			}
			var err error
			if kept, err = net.Dial("tcp", addr); err != nil {
				t.Fatal(err)
			}
			kept.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			answer = ask(kept)
		}
		defer kept.Close()
		signal()
		closed := func() bool {
			return errors.Is(first.Listener.(*net.TCPListener).SetDeadline(time.Time{}), net.ErrClosed)
		}
		for deadline := time.Now().Add(10 * time.Second); taken && !closed(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("it still accepts")
			}
		}
		kept.SetReadDeadline(time.Now().Add(10 * time.Second))
		if answer := ask(kept); answer == nil || !answer.Close {
			t.Errorf("a connection that it has: %v", answer)
		}
		if taken {
			h.answers(t, second)
		} else if late, err := net.Dial("tcp", addr); err != nil || ask(late) == nil {
			t.Errorf("a late connection: %v", err)
		}
		end()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// ask sends a request and returns the answer, or nil.
func ask(conn net.Conn) *http.Response {
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: app\r\n\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer
}

// What has two ends is refused, and its connection closed: neither what it holds nor what follows
// is taken for a request. Other requests pass, also several that arrive at once.
func TestARequestWithTwoEndsIsRefused(t *testing.T) {
	t.Parallel()
	listener, err := Listen(t.Context(), "HTTP_ADDR", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- ServeHTTP(ctx, ctx, slog.New(slog.DiscardHandler), &http.Server{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				fmt.Fprintf(w, "%s %s", r.URL.Path, body)
			}),
			ReadHeaderTimeout: time.Minute,
		}, listener, time.Minute)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	const (
		length, chunked = "Content-Length: 5\n", "Transfer-Encoding: chunked\n"
		two             = length + chunked + "\n0\n\n"
		get, last       = "GET /a HTTP/1.1\nHost: x\n\n", "GET /z HTTP/1.1\nHost: x\nConnection: close\n\n"
		post            = "POST /b HTTP/1.1\nHost: x\n"
	)
	for name, c := range map[string]struct{ sent, want string }{
		"both":                   {post + two + last, "400"},
		"both, the other way":    {post + chunked + length + "\n0\n\n" + last, "400"},
		"both, in another case":  {post + "cOntent-lengtH:5\ntransfer-ENCODING:chunked\n\n0\n\n" + last, "400"},
		"both, the length twice": {post + length + two + last, "400"},
		"after a read":           {get + post + two + last, "/a  400"},
		"after an empty line":    {post + "Content-Length: 0\n\n\n" + post + two + last, "/b  400"},
		"after a body":           {post + length + "\nhello" + post + two + last, "/b hello 400"},
		"after a large body":     {post + "Content-Length: 9000\n\n" + strings.Repeat("x", 9000) + post + two, "/b " + strings.Repeat("x", 9000) + " 400"},
		"in HTTP/1.0":            {"POST /b HTTP/1.0\nConnection: keep-alive\n" + two + last, "400"},
		"chunks in HTTP/1.0":     {"POST /b HTTP/1.0\nConnection: keep-alive\n" + chunked + "\n0\n\n" + last, "400"},
		"a length":               {post + length + "\nhello" + last, "/b hello /z "},
		"a length in a body":     {get + post + "Content-Length: 17\n\nContent-Length: 5" + post + chunked + "\n2\nhi\n0\n\n", "/a  /b Content-Length: 5 /b hi"},
		"a length in a value":    {post + "X: Content-Length: 5\n" + chunked + "\n2\nhi\n0\n\n", "/b hi"},
		"chunks are the last":    {post + chunked + "\n2\nhi\n0\n\n" + last, "/b hi"},
		"several at once":        {get + get + post + length + "\nhello" + get + last, "/a  /a  /b hello /a  /z "},
	} {
		for _, step := range []int{1 << 20, 7} { // all at once, and in pieces
			conn, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(time.Minute))
			go func() {
				for text := strings.ReplaceAll(c.sent, "\n", "\r\n"); text != ""; text = text[min(step, len(text)):] {
					_, _ = io.WriteString(conn, text[:min(step, len(text))]) // it may be refused before its end
				}
			}()
			var got []string
			for answers := bufio.NewReader(conn); ; {
				answer, err := http.ReadResponse(answers, nil)
				if err != nil {
					break
				}
				body, _ := io.ReadAll(answer.Body)
				text := string(body)
				if answer.StatusCode != http.StatusOK {
					text = fmt.Sprint(answer.StatusCode)
				}
				got = append(got, text)
			}
			conn.Close()
			if text := strings.Join(got, " "); text != c.want {
				t.Errorf("%s, in pieces of %d: got %.200q, want %.200q", name, step, text, c.want)
			}
		}
	}
}
