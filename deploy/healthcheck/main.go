// Command healthcheck checks addresses, since an image from scratch has no curl:
//
//	healthcheck http://127.0.0.1:8081/readyz     wants 200
//	healthcheck tcp://127.0.0.1:4222             wants a connection
//
// It fails unless all addresses answer so.
//
// It is not a verb of seam, so that production images do not contain the development kit.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "healthcheck: name an address, as in healthcheck http://127.0.0.1:8081/readyz")
		os.Exit(2)
	}
	for _, address := range os.Args[1:] {
		if err := check(address); err != nil {
			fmt.Fprintln(os.Stderr, "healthcheck:", err)
			os.Exit(1)
		}
	}
}

func check(address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if host, ok := strings.CutPrefix(address, "tcp://"); ok {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", host)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil) //nolint:gosec // its purpose
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request) //nolint:gosec // as above
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // the answer is in the status
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", address, response.Status)
	}
	return nil
}
