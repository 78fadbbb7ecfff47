package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestBenchRefusesWhatItCannotDo(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"no URL":               {nil, "name one URL"},
		"two URLs":             {[]string{"http://one", "http://two"}, "name one URL"},
		"no scheme":            {[]string{"localhost:8080"}, "name one URL"},
		"no place for a path":  {[]string{"http://one?"}, "name one URL"},
		"a rate and clients":   {[]string{"--rate", "5", "--clients", "5", "http://one"}, "say --clients or --rate, not both"},
		"negative clients":     {[]string{"--clients", "-1", "http://one"}, "--clients must be 1 or more"},
		"no clients":           {[]string{"--clients", "0", "http://one"}, "--clients must be 1 or more"},
		"too many clients":     {[]string{"--clients", "10001", "http://one"}, "--clients must be 10000 or fewer"},
		"no rate":              {[]string{"--rate", "0", "http://one"}, "--rate must be 1 order a second or more"},
		"a negative rate":      {[]string{"--rate", "-1", "http://one"}, "--rate must be 1 order a second or more"},
		"five of what":         {[]string{"--for", "5", "http://one"}, "say a number and its unit, as in 500ms, 5s"},
		"no time":              {[]string{"--for", "0s", "http://one"}, "--for must be longer"},
		"no key to sign with":  {[]string{"http://one"}, "run seam up first, or give a --token"},
		"a number that is not": {[]string{"--rate", "fast", "http://one"}, "invalid value"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said, code := run(t, []string{"SEAM_STATE=" + t.TempDir()}, test.args...)
			if code != 2 || !strings.Contains(said, test.says) || strings.Count(said, "\n") != 1 {
				t.Errorf("exit code %d, said %q; want 2 and %q in one line", code, said, test.says)
			}
		})
	}
}

func TestBenchWithoutAShop(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	said, code := run(t, nil, "--token", "x", "http://"+closed.Addr().String())
	if code != 2 || !strings.Contains(said, "no shop answers: start one") || strings.Count(said, "\n") != 1 {
		t.Errorf("exit code %d, said %q", code, said)
	}
}

// fakeShop accepts every order. It answers reads of one with this code and body.
func fakeShop(t *testing.T, code int, body string) (url string) {
	t.Helper()
	return playShop(t, map[string]func(*http.Request) (int, string){
		"GET /v1/orders":             always(http.StatusOK, aPage),
		"GET /v1/inventory/products": always(http.StatusOK, aPage),
		"POST /v1/orders":            placed,
		"GET /v1/orders/one":         always(code, body),
	})
}

// An order that cannot be followed is shown and fails the run, which ends.
func TestBenchLosesSight(t *testing.T) {
	t.Parallel()
	url := fakeShop(t, http.StatusBadGateway, `{}`)
	command := exec.CommandContext(t.Context(), filepath.Join(bin, "seam"), "bench", "--clients", "1", "--for", "100ms",
		"--token", "x", url)
	said, err := command.CombinedOutput()
	if err == nil || !regexp.MustCompile(`\d+ of those followed were not seen to end, the last because of: GET /v1/orders/one: 502`).Match(said) {
		t.Errorf("%v, said\n%s", err, said)
	}
}

// A run that is interrupted shows what it has.
func TestBenchIsInterrupted(t *testing.T) {
	t.Parallel()
	url := fakeShop(t, http.StatusOK, `{"status":"confirmed"}`)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, filepath.Join(bin, "seam"), "bench", "--rate", "200", "--for", "1h",
		"--token", "x", url)
	var table bytes.Buffer
	progress, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stdout = &table
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 200)
	n, err := progress.Read(line) // the first second is over
	if err != nil || !regexp.MustCompile(`^ +1 s  \d+ orders/s, median \S+s, p99 (\S+s|-), 0 refused\n$`).Match(line[:n]) {
		t.Errorf("progress is %q, %v", line[:n], err)
	}
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil {
		t.Error(err)
	}
	for _, row := range []string{`from POST to its answer +\d+ +\d+`, `from POST to confirmed, of those followed +\d+`} {
		if !regexp.MustCompile(row + ` +\S+s +(\S+s|-) +\S+s`).Match(table.Bytes()) {
			t.Errorf("no row like %s in\n%s", row, table.String())
		}
	}
}
