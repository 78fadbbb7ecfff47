package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/shop/lab/load"
	"example.com/shop/platform/devkit/tokens"
)

// playShop starts a fake shop with an answer for each method and path, and 404 for all others.
func playShop(t *testing.T, answers map[string]func(r *http.Request) (code int, body string)) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.Method+" "+r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		code, body := answer(r)
		if code == http.StatusCreated {
			w.Header().Set("Location", "/v1/orders/one")
		}
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func always(code int, body string) func(*http.Request) (int, string) {
	return func(*http.Request) (int, string) { return code, body }
}

// aPage has a product of which there is too little to be ordered.
const aPage = `{"items":[{"sku":"tea","on_hand":1000},{"sku":"rare","on_hand":3}],"next":null}`

// placed answers an order, unless it is one of the rare product.
func placed(r *http.Request) (code int, body string) {
	if order, err := io.ReadAll(r.Body); err != nil || bytes.Contains(order, []byte("rare")) {
		return http.StatusForbidden, `{}`
	}
	return http.StatusCreated, `{}`
}

// An error before the run is one line, and no order is sent.
func TestBenchAsksFirst(t *testing.T) {
	t.Parallel()
	key, err := tokens.LoadOrCreate(filepath.Join(t.TempDir(), "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	ada := key.Mint(tokens.Claims{Role: "customer", Subject: "ada"})
	for name, test := range map[string]struct {
		code     int
		orders   string
		products string
		exit     int
		says     string
	}{
		"a token that expired": {http.StatusUnauthorized, `{}`, aPage, 2,
			"the shop refuses the token (GET /v1/orders?limit=1: 401 Unauthorized): has it expired"},
		"no customer's token": {http.StatusForbidden, `{}`, aPage, 2, "or is it no customer's? Make one with seam token --role customer"},
		"another server":      {http.StatusNotFound, `{}`, aPage, 2, "this is no shop (GET /v1/orders?limit=1: 404 Not Found): name the URL of one"},
		"a page":              {http.StatusOK, `<html>`, aPage, 2, "this is no shop"},
		"another API":         {http.StatusOK, `{"orders":[]}`, aPage, 2, "this is no shop"},
		"a list of all":       {http.StatusOK, `["ok"]`, aPage, 2, "this is no shop"},
		"nothing":             {http.StatusOK, ``, aPage, 2, "this is no shop"},
		"a failing shop":      {http.StatusServiceUnavailable, `{}`, aPage, 1, "ask the shop for orders: GET /v1/orders?limit=1: 503"},
		"nothing to order": {http.StatusOK, aPage, `{"items":[{"sku":"tea","on_hand":99}]}`, 2,
			"no product of the shop has 100 pieces on hand: restock some, as staff, with POST /v1/inventory/products/{sku}/restock"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := playShop(t, map[string]func(*http.Request) (int, string){
				"GET /v1/orders":             always(test.code, test.orders),
				"GET /v1/inventory/products": always(http.StatusOK, test.products),
				"POST /v1/orders": func(*http.Request) (int, string) {
					t.Error("an order was sent")
					return http.StatusForbidden, `{}`
				},
			})
			said, code := run(t, nil, "--for", "100ms", "--token", ada, url)
			if code != test.exit || !strings.Contains(said, test.says) || strings.Count(said, "\n") != 1 {
				t.Errorf("exit code %d, said %q; want %d and %q in one line", code, said, test.exit, test.says)
			}
		})
	}
}

// With the key seam bench is staff, too. The fake shop sells nothing before each product was
// restocked, under a key of its own, whatever its SKU is.
func TestBenchRestocks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := tokens.LoadOrCreate(filepath.Join(dir, "key.pem")); err != nil {
		t.Fatal(err)
	}
	var onHand atomic.Int64
	var refuse atomic.Bool
	var keys sync.Map
	role := func(r *http.Request) string {
		_, rest, _ := strings.Cut(r.Header.Get("Authorization"), ".")
		claims, _, _ := strings.Cut(rest, ".")
		text, _ := base64.RawURLEncoding.DecodeString(claims)
		return string(regexp.MustCompile(`"role":"\w+"`).Find(text))
	}
	restock := func(r *http.Request) (int, string) {
		if _, used := keys.LoadOrStore(r.Header.Get("Idempotency-Key"), true); used || role(r) != `"role":"staff"` {
			return http.StatusForbidden, `{}`
		}
		onHand.Add(1_000_000)
		return http.StatusOK, `{}`
	}
	url := playShop(t, map[string]func(*http.Request) (int, string){
		"GET /v1/orders": func(r *http.Request) (int, string) {
			if refuse.Load() || role(r) != `"role":"customer"` {
				return http.StatusUnauthorized, `{}`
			}
			return http.StatusOK, aPage
		},
		"GET /v1/inventory/products": func(*http.Request) (int, string) {
			return http.StatusOK, fmt.Sprintf(`{"items":[{"sku":"tea","on_hand":%[1]d},{"sku":"green/tea","on_hand":%[1]d}]}`, onHand.Load())
		},
		"POST /v1/inventory/products/tea/restock":       restock,
		"POST /v1/inventory/products/green/tea/restock": restock,
		"POST /v1/orders": func(r *http.Request) (int, string) {
			if role(r) != `"role":"customer"` || onHand.Load() == 0 {
				return http.StatusForbidden, `{}`
			}
			return http.StatusCreated, `{}`
		},
		"GET /v1/orders/one": always(http.StatusOK, `{"status":"confirmed"}`),
	})
	bench := func() (string, int) {
		return run(t, []string{"SEAM_STATE=" + dir}, "--for", "100ms", url)
	}
	said, code := bench()
	if code != 0 || said != "no product of the shop has 100 pieces on hand: restocked 2 products with 1000000 pieces each\n" {
		t.Errorf("exit code %d, said %q", code, said)
	}
	if said, code := bench(); code != 0 || said != "" || onHand.Load() != 2_000_000 {
		t.Errorf("with stock: exit code %d, said %q, %d on hand", code, said, onHand.Load())
	}
	refuse.Store(true) // another shop's key
	if said, code := bench(); code != 2 || !strings.Contains(said, "give a --token of one of its customers") || strings.Count(said, "\n") != 1 {
		t.Errorf("of another shop: exit code %d, said %q", code, said)
	}
}

// Two seconds of refusals end a run of an hour, and its last line says why.
func TestBenchEndsAtADeadShop(t *testing.T) {
	t.Parallel()
	url := playShop(t, map[string]func(*http.Request) (int, string){
		"GET /v1/orders":             always(http.StatusOK, aPage),
		"GET /v1/inventory/products": always(http.StatusOK, aPage),
		"POST /v1/orders":            always(http.StatusServiceUnavailable, `{"title":"Service Unavailable","detail":"Come back."}`),
	})
	command := exec.CommandContext(t.Context(), filepath.Join(bin, "seam"), "bench", "--rate", "50", "--for", "1h",
		"--token", "x", url)
	var table, said bytes.Buffer
	command.Stdout, command.Stderr = &table, &said
	err := command.Run()
	exit, _ := errors.AsType[*exec.ExitError](err)
	last := "seam: it ended early: for 2s every order was refused, the last with: 503 Service Unavailable: Come back.\n"
	if exit == nil || exit.ExitCode() != 1 || !strings.HasSuffix(said.String(), last) || strings.Contains(table.String(), "were sent") {
		t.Errorf("%v, said\n%s%s", err, said.String(), table.String())
	}
	if !regexp.MustCompile(`from POST to its answer +0 +0 +- +- +-\s`).Match(table.Bytes()) {
		t.Errorf("the times of nothing are\n%s", table.String())
	}
}

// One placed order in between keeps the run going.
func TestHopeless(t *testing.T) {
	t.Parallel()
	began := time.Now()
	refused := errors.New("no")
	for name, test := range map[string]struct {
		refusals []time.Duration // when; a negative one is an order that was placed
		want     bool
	}{
		"the first":             {[]time.Duration{5 * time.Second}, false},
		"almost":                {[]time.Duration{0, 1, hopeless - 1}, false},
		"two seconds":           {[]time.Duration{0, 1, hopeless}, true},
		"one in between":        {[]time.Duration{0, -1, hopeless, 2*hopeless - 1}, false},
		"after one in between":  {[]time.Duration{0, -1, hopeless, 2 * hopeless}, true},
		"and one when it ended": {[]time.Duration{0, hopeless, -hopeless}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &measured{}
			for _, at := range test.refusals {
				o := load.Order{Due: began, Took: at, Err: refused}
				if at < 0 {
					o.Took, o.Err = -at, nil
				}
				m.add(o)
			}
			if m.hopeless != test.want {
				t.Errorf("%v: hopeless is %v", test.refusals, m.hopeless)
			}
		})
	}
}

// A run in which no order was sent measured nothing, and does not pass.
func TestBenchOfNothing(t *testing.T) {
	t.Parallel()
	said, code := run(t, nil, "--for", "1ns", "--token", "x",
		fakeShop(t, http.StatusOK, `{"status":"confirmed"}`))
	if code != 1 || said != "seam: no order was answered\n" {
		t.Errorf("exit code %d, said %q", code, said)
	}
}

func TestAt(t *testing.T) {
	t.Parallel()
	times := make(load.Times, 100)
	for i := range times {
		times[i] = time.Duration(i+1) * time.Millisecond
	}
	for _, test := range []struct {
		n       int
		percent float64
		want    string
	}{{0, 50, "-"}, {0, 100, "-"}, {1, 50, "1ms"}, {99, 99, "-"}, {99, 100, "99ms"}, {100, 99, "99ms"}} {
		if got := at(times[:test.n], test.percent); got != test.want {
			t.Errorf("%v %% of %d: %q, want %q", test.percent, test.n, got, test.want)
		}
	}
}

// It prints what it waits for before it goes quiet.
func TestBenchSaysThatItWaits(t *testing.T) {
	t.Parallel()
	url := fakeShop(t, http.StatusOK, `{"status":"placed"}`)
	command := exec.CommandContext(t.Context(), filepath.Join(bin, "seam"), "bench", "--clients", "1", "--for", "100ms",
		"--token", "x", url)
	stderr, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	lines := bufio.NewScanner(stderr)
	want := "no more orders; waiting for answers, or for the order that is followed to end, 28s at most"
	if !lines.Scan() || lines.Text() != want || time.Since(began) < quiet {
		t.Errorf("after %s it said %q", time.Since(began), lines.Text())
	}
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if lines.Scan() {
		t.Errorf("and then %q", lines.Text())
	}
	if err := command.Wait(); err != nil {
		t.Error(err)
	}
}
