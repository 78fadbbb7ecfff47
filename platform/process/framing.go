package process

import (
	"bytes"
	"context"
	"crypto/tls"
	"log"
	"net"
	"net/http"
	"regexp"
	"sync"
)

// A request with Content-Length and Transfer-Encoding ends at two places. A proxy that saw the
// other one takes the rest of its body for the next request, perhaps another client's (RFC 9112,
// 6.1 and 11.2). net/http drops the Content-Length before any handler sees it, and so does it with
// the Transfer-Encoding of HTTP/1.0; so the connection keeps the head as it came. It is around the
// one of TLS, if there is one, which net/http therefore does not see.

// framed is a connection that keeps what was read since the last request.
type framed struct {
	net.Conn
	log   *log.Logger
	shake sync.Once

	mu   sync.Mutex
	read []byte
	skip int64 // bytes of a body that are still to come
	last bool  // nothing is kept any more, because no request follows
}

func (c *framed) Read(p []byte) (int, error) {
	c.shake.Do(func() {
		if secure, ok := c.Conn.(*tls.Conn); ok {
			if err := secure.HandshakeContext(context.Background()); err != nil { // which Read returns again
				c.log.Printf("http: TLS handshake error from %s: %v", c.RemoteAddr(), err)
			}
		}
	})
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.last {
		body := min(c.skip, int64(n))
		c.skip -= body
		c.read = append(c.read, p[body:n]...) // at most the largest head, and the server's buffer
	}
	return n, err
}

// CloseWrite lets a refusal arrive before the connection closes; net/http calls it.
func (c *framed) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

var (
	contentLength    = regexp.MustCompile(`(?im)^content-length:`)
	transferEncoding = regexp.MustCompile(`(?im)^transfer-encoding:`)
)

// begin reports whether the head of the request is ambiguous, and forgets the request.
func (c *framed) begin(r *http.Request) (ambiguous bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all, end := bytes.TrimLeft(c.read, "\r\n"), 0 // which the server skips, too
	for line := range bytes.Lines(all) {
		end += len(line)
		if string(line) == "\r\n" || string(line) == "\n" {
			break
		}
	}
	head, rest := all[:end], all[end:]
	if c.last = r.ContentLength < 0; c.last {
		c.read = nil
		return contentLength.Match(head)
	}
	ambiguous = !r.ProtoAtLeast(1, 1) && transferEncoding.Match(head)
	body := min(r.ContentLength, int64(len(rest)))
	c.skip = r.ContentLength - body
	c.read = append(c.read[:0], rest[body:]...)
	return ambiguous
}

type framedListener struct {
	net.Listener
	log *log.Logger
}

func (l framedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &framed{Conn: conn, log: l.log}, nil
}

type framedKey struct{}

func withFramed(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, framedKey{}, conn)
}

// unambiguous refuses requests that end at two places, as net/http refuses malformed ones. A request
// in chunks is the last of its connection, whatever stood before the server.
func unambiguous(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ambiguous := false
		if conn, ok := r.Context().Value(framedKey{}).(*framed); ok {
			ambiguous = conn.begin(r)
			if secure, ok := conn.Conn.(*tls.Conn); ok {
				r.TLS = new(secure.ConnectionState())
			}
		}
		if ambiguous || r.ContentLength < 0 {
			w.Header().Set("Connection", "close")
		}
		if ambiguous {
			http.Error(w, "400 Bad Request: send Content-Length or Transfer-Encoding, not both", http.StatusBadRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
