package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// rawServer answers every request with these bytes.
func rawServer(t *testing.T, answer string) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(time.Minute))
				if request, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					_, _ = io.Copy(io.Discard, request.Body)
					fmt.Fprint(conn, answer)
				}
			}()
		}
	}()
	return "http://" + listener.Addr().String()
}

// An invalid answer is not passed on: a write gets a 502, and a read the other side's answer.
func TestInvalidAnswers(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{
		"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 000 Odd\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 2000 OK\r\n\r\n",
		"SSH-2.0-OpenSSH_9.2\r\n",
		"",
	} {
		b := start(t, table2(rawServer(t, answer), rawServer(t, answer), 0, ""))
		got, err := b.try(http.MethodPost, "/v1/things", nil)
		if err != nil || got.status != http.StatusBadGateway || got.problem(t) != "upstream-broken" {
			t.Errorf("%.40q: %d %s, %v", answer, got.status, got.body, err)
		}
		other := start(t, table2(newServer(t).URL, rawServer(t, answer), 99, ""))
		for range 20 {
			if got := other.get(t, "/v1/things"); got.status != http.StatusOK || got.side() != "old" {
				t.Errorf("%.40q: a read got %d from %s", answer, got.status, got.side())
			}
		}
	}
}

// A read may have a body. The shadow gets the request without it.
func TestReadsWithABodyAreShadowed(t *testing.T) {
	t.Parallel()
	older, newer := newServer(t), newServer(t)
	newer.answers(func(w http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err != nil || len(body) > 0 || r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
			t.Errorf("the shadow got %q (%d, %v), %v", body, r.ContentLength, r.TransferEncoding, err)
		}
		fmt.Fprint(w, `{"ok":true}`)
	})
	b := start(t, table2(older.URL, newer.URL, 0, shadowed))
	for i, body := range []io.Reader{strings.NewReader("hello"), io.MultiReader(strings.NewReader("hello")), http.NoBody, io.MultiReader()} {
		if answer, err := b.try(http.MethodGet, "/v1/things", body); err != nil || answer.status != http.StatusOK {
			t.Errorf("%d: %d %v", i, answer.status, err)
		}
		eventually(t, "the answer is compared", func() bool { return b.page(t).Routes["things"].Shadow.Compared == int64(i+1) })
	}
	if tally := b.page(t).Routes["things"].Shadow; tally.Mismatched > 0 || tally.Failed > 0 {
		t.Errorf("%+v", tally)
	}
}

// An upstream may answer before it has read the body, and then stop reading.
func TestAnAnswerBeforeTheBodyIsRead(t *testing.T) {
	t.Parallel()
	older := newServer(t)
	older.answersStatus(http.StatusUnauthorized)
	b := start(t, table2(older.URL, older.URL, 0, ""))
	for i := range 4 {
		for _, body := range []io.Reader{strings.NewReader(strings.Repeat("x", maxBody)), io.MultiReader(strings.NewReader(strings.Repeat("x", maxBody)))} {
			if answer, err := b.try(http.MethodPost, "/v1/things", body); err != nil || answer.status != http.StatusUnauthorized {
				t.Errorf("%d: %d %s, %v", i, answer.status, answer.body, err)
			}
		}
	}
}
