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

func TestInTheClear(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"postgres://u:p@db.example/shop":                                          true, // sslmode=prefer
		"postgres://u:p@db.example/shop?sslmode=disable":                          true,
		"postgres://u:p@db.example/shop?sslmode=allow":                            true,
		"postgres://u:p@127.0.0.1,10.0.0.7/shop?sslmode=disable":                  true,
		"host=db.example user=u password=p sslmode=prefer":                        true,
		"postgres://u:p@db.example/shop?sslmode=require":                          false,
		"postgres://u:p@db.example/shop?sslmode=verify-full":                      false,
		"postgres://u:p@127.0.0.1:5433/shop?sslmode=disable":                      false,
		"postgres://u:p@[::1]/shop?sslmode=disable":                               false,
		"postgres://u:p@localhost,/shop?sslmode=disable&host=/var/run/postgresql": false,
		"postgres://u:p@/shop?host=/tmp":                                          false,
		"nonsense":                                                                false,
	} {
		if got := postgres.InTheClear(address); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}
