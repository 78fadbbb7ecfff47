package postgres_test

import (
	"strings"
	"testing"

	"example.com/shop/platform/postgres"
)

// No error about an address contains a part of its password.
func TestNoPasswordIsPrinted(t *testing.T) {
	t.Parallel()
	for address, says := range map[string]string{
		"host=h password = s3cret sslmode=bogus":            "sslmode is invalid",
		`host=h password=s3\ cret sslmode=bogus`:            "sslmode is invalid",
		`host=h password='s3\'cret' sslmode=bogus`:          "sslmode is invalid",
		"host=h password=s3 cret sslmode=bogus":             "percent-encoded",
		"host=h password=s3cret port=0":                     "invalid port",
		"host=h password = s3cret pool_max_conn_lifetime=x": "pool_max_conn_lifetime",
		"host=h password = s3cret options=x":                `must not have the parameter "options"`,
		"password = s3cret host":                            "percent-encoded",
		"postgress://app:s3:cret@h/app":                     "percent-encoded",
		"postgres://app:s3cret@h/app?sslmode=bogus":         "sslmode is invalid",
		"postgres://app:s3@cret@h/app?sslmode=bogus":        "sslmode is invalid",
		"postgres://app:s3@cret@h/app":                      "percent-encoded",
		"postgres://app:s3@x?cret@h/app":                    "percent-encoded",
		"postgres://app:s3/cret@h/app":                      "invalid port",
		"postgres://app:s3%cret@h/app":                      "percent-encoded",
		"postgres://h/app?user=app&password=s3cret&sslmode": "percent-encoded",
	} {
		_, err := postgres.Open(t.Context(), "marks", address, 1, schema)
		expectUsage(t, address, err, says)
		if strings.Contains(err.Error(), "s3") || strings.Contains(err.Error(), "cret") {
			t.Errorf("%s: %v prints the password", address, err)
		}
	}
}
