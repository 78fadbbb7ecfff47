package postgres_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"example.com/shop/platform/postgres"
)

// An error of another service's client is never the database's.
func TestTransient(t *testing.T) {
	t.Parallel()
	reset := &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	elsewhere := func(err error) error { return &url.Error{Op: "Get", URL: "https://provider", Err: err} }
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"lost":                         {fmt.Errorf("write failed: %w", reset), true},
		"ended":                        {io.ErrUnexpectedEOF, true},
		"shut down":                    {&pgconn.PgError{Code: "57P01"}, true},
		"read only":                    {&pgconn.PgError{Code: "25006"}, true},
		"no such table":                {&pgconn.PgError{Code: "42P01"}, false},
		"no time":                      {context.DeadlineExceeded, false},
		"no client":                    {context.Canceled, false},
		"an unknown name":              {&net.DNSError{Err: "no such host", Name: "provider"}, false},
		"a certificate elsewhere":      {elsewhere(x509.UnknownAuthorityError{}), false},
		"a connection lost elsewhere":  {elsewhere(reset), false},
		"an end elsewhere":             {elsewhere(io.EOF), false},
		"a fault":                      {errors.New("fault"), false},
		"shut down, and one elsewhere": {errors.Join(elsewhere(reset), &pgconn.PgError{Code: "57P01"}), true},
	} {
		if got := postgres.Transient(test.err); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
