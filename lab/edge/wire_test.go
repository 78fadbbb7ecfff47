package edge

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Placeholders in a request's text: for what differs between doors and runs, and what is too long.
var (
	blank = regexp.MustCompile(`<(customer|staff|service|subject|key|order|length)>`)
	fill  = regexp.MustCompile(`<fill (\d{1,7}) ([^>]{1,16})>`)
	made  = regexp.MustCompile(`<(sign|cursor) ([^>]*)>`)
)

// expand returns the bytes to send to a door, with the placeholders replaced.
func (s *shop) expand(d door, key, head string, body []byte) []byte {
	filled := fill.ReplaceAllFunc(body, func(text []byte) []byte {
		parts := fill.FindSubmatch(text)
		n, _ := strconv.Atoi(string(parts[1]))
		return bytes.Repeat(parts[2], min(n, 3<<20)/len(parts[2]))
	})
	values := map[string]string{"<customer>": d.customer, "<staff>": d.staff, "<service>": d.service, "<subject>": d.subject,
		"<key>": key, "<order>": d.order, "<length>": strconv.Itoa(len(filled))}
	head = fill.ReplaceAllStringFunc(head, func(text string) string {
		parts := fill.FindStringSubmatch(text)
		n, _ := strconv.Atoi(parts[1])
		return strings.Repeat(parts[2], min(n, 64<<10)/len(parts[2]))
	})
	head = blank.ReplaceAllStringFunc(head, func(text string) string { return values[text] })
	head = made.ReplaceAllStringFunc(head, func(text string) string {
		parts := made.FindStringSubmatch(text)
		if parts[1] == "sign" {
			return s.sign(parts[2])
		}
		return base64.RawURLEncoding.EncodeToString([]byte(parts[2]))
	})
	return append([]byte(head), filled...)
}

// parsed is the bytes as net/http reads them: the requests, and whether the last one is broken.
type parsed struct {
	requests []*http.Request
	broken   bool
}

func parse(raw []byte) (p parsed) {
	reader := bufio.NewReader(bytes.NewReader(raw))
	for {
		request, err := http.ReadRequest(reader)
		if err == io.EOF {
			return p
		}
		if err == nil {
			_, err = io.Copy(io.Discard, request.Body)
		}
		if err != nil {
			p.broken = true
			return p
		}
		p.requests = append(p.requests, request)
	}
}

// reply is one answer.
type reply struct {
	status    int
	kind      string // of the problem, "" for none
	continued bool   // after 100 Continue
	body      string
}

func (r reply) String() string { return fmt.Sprintf("%d %s", r.status, r.kind) }

// patience is how long an answer may take on a busy machine.
const patience = 60 * time.Second

// send writes the bytes to the door and reads the answers. It closes its side only after a broken
// request, because a server would wait for the rest.
func (d door) send(t *testing.T, raw []byte, p parsed) []reply {
	t.Helper()
	conn, err := net.Dial("tcp", d.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	sent := make(chan bool)
	go func() {
		defer close(sent)
		_, _ = conn.Write(raw) // a server may answer and close before it has all
		if p.broken {
			_ = conn.(*net.TCPConn).CloseWrite()
		}
	}()
	defer func() { conn.Close(); <-sent }()
	var replies []reply
	reader := bufio.NewReader(conn)
	for next := (reply{}); len(replies) < len(p.requests) || p.broken; {
		asked := &http.Request{Method: http.MethodGet}
		if len(replies) < len(p.requests) {
			asked = p.requests[len(replies)]
		}
		response, err := http.ReadResponse(reader, asked)
		if err != nil {
			if netErr := net.Error(nil); errors.As(err, &netErr) && netErr.Timeout() {
				t.Fatalf("%s does not answer %q", d.subject, brief(raw))
			}
			return replies // the connection has ended
		}
		if response.StatusCode == http.StatusContinue {
			next.continued = true
			continue
		}
		body, err := io.ReadAll(response.Body)
		// A server that closes before it has read all may cut off its own refusal: TCP resets the
		// connection.
		if err != nil && len(replies) < len(p.requests) && !strings.HasPrefix(response.Header.Get("Content-Type"), "text/plain") {
			t.Errorf("%s cuts its answer off: %q: %v", d.subject, brief(raw), err)
		}
		next.status, next.body = response.StatusCode, string(body)
		if response.Header.Get("Content-Type") == "application/problem+json" && asked.Method != http.MethodHead {
			next.kind = kind(t, response.StatusCode, body)
		}
		replies, next = append(replies, next), reply{}
	}
	return replies
}

// kind returns the kind of a problem, and fails unless the problem is complete.
func kind(t *testing.T, status int, body []byte) string {
	t.Helper()
	var problem struct {
		Type, Title, Detail string
		Status              int
	}
	if err := json.Unmarshal(body, &problem); err != nil || problem.Status != status || problem.Title == "" || problem.Detail == "" {
		t.Errorf("%d with an incomplete problem: %s", status, cut(body))
	}
	return strings.TrimPrefix(problem.Type, "urn:shop:problem:")
}

// busy reports whether a reply depends on the machine's load and not on the request.
func busy(r reply) bool {
	return slices.Contains([]string{"timeout", "overloaded", "inventory-unavailable", "upstream-timeout", "request-running"}, r.kind)
}

// brief returns a request without its token.
func brief(raw []byte) []byte { return credentials.ReplaceAll(cut(raw), []byte("Bearer …")) }

var credentials = regexp.MustCompile(`Bearer [^\r\n]*`)

func cut(text []byte) []byte { return text[:min(len(text), 1500)] }
