package attacks

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

const products = "/v1/inventory/products"

// doors returns the addresses of the façade and of the process that serves inventory.
func doors(s *shop) map[string]string {
	found := map[string]string{"the façade": strings.TrimPrefix(s.URL, "http://")}
	for _, p := range s.processes() {
		if p.name == "inventory" {
			found["inventory"] = strings.TrimPrefix(p.url, "http://")
		}
	}
	return found
}

// A stranger neither chooses the process that handles a request, nor learns which one did. An
// operator does.
func TestAForgedSideIsIgnored(t *testing.T) {
	s := theShop(t)
	for secret, want := range map[string]int{"": http.StatusOK, "guess": http.StatusOK, s.Secret: http.StatusBadRequest} {
		status, answer := send(t, http.MethodGet, s.URL+products, "", "", "X-Seam-Upstream: nowhere", "X-Seam-Secret: "+secret)
		if status != want || strings.Contains(answer, "no-such-side") != (want == http.StatusBadRequest) {
			t.Errorf("with the secret %.5q…: %d, want %d: %s", secret, status, want, answer)
		}
	}
}

// A body with two ends smuggles no request behind it; the same body with one end is accepted.
func TestARequestWithTwoEndsIsRefused(t *testing.T) {
	s := theShop(t)
	const smuggled = "GET " + products + " HTTP/1.1\r\nHost: shop\r\n\r\n"
	for door, addr := range doors(s) {
		for head, want := range map[string]string{
			"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n": "400",
			"Content-Length: 5\r\ntransfer-encoding: chunked\r\n": "400",
			"Content-Length: 5\r\n":                               "401 200",
			"Transfer-Encoding: chunked\r\nConnection: close\r\n": "401",
		} {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(3 * time.Second))
			fmt.Fprint(conn, "POST /v1/orders HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer x.y.z\r\n"+head+"\r\n0\r\n\r\n"+smuggled)
			var statuses []string
			for answers := bufio.NewReader(conn); ; {
				answer, err := http.ReadResponse(answers, nil)
				if err != nil {
					break
				}
				_, _ = io.Copy(io.Discard, answer.Body)
				statuses = append(statuses, fmt.Sprint(answer.StatusCode))
			}
			conn.Close()
			if got := strings.Join(statuses, " "); got != want && (door == "the façade" || want == "400") {
				t.Errorf("%s with %q: %s, want %s", door, head, got, want)
			}
		}
	}
}

// hang sends that many requests whose bodies never arrive, each from the client that from returns.
func hang(t *testing.T, s *shop, requests int, from func(i int) int) {
	t.Helper()
	var hanging sync.WaitGroup
	for i := range requests {
		hanging.Go(func() {
			attacker := net.Dialer{LocalAddr: &net.TCPAddr{IP: s.client(from(i))}}
			conn, err := attacker.DialContext(t.Context(), "tcp", strings.TrimPrefix(s.URL, "http://"))
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { conn.Close() })
			fmt.Fprintf(conn, "POST /v1/inventory/products/tea-assam/restock HTTP/1.1\r\nHost: shop\r\n"+
				"Idempotency-Key: %d\r\nContent-Length: 100\r\n\r\n{", i)
		})
	}
	hanging.Wait()
}

// Bodies that never arrive, from one address, leave another customer's requests as they were.
func TestHangingBodiesHarmNobody(t *testing.T) {
	s := theShop(t)
	hang(t, s, 2100, func(int) int { return 1 })
	for range 20 {
		if status, answer := send(t, http.MethodGet, s.URL+products, "", ""); status != http.StatusOK {
			t.Fatalf("a customer's read: %d %s", status, answer)
		}
	}
	if status, answer := send(t, http.MethodPost, s.URL+products+"/tea-assam/restock", token(s, "staff", "sam"), `{"quantity":1}`,
		"Idempotency-Key: hanging"); status/100 != 2 {
		t.Errorf("a write: %d %s", status, answer)
	}
}
