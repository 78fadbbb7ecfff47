// Package acceptance tests what the system promises its clients, over HTTP alone. It needs only a
// base URL and a signing key, so it runs against any topology. A file whose name begins with a
// module's tests that module, and may use the files of those that the module depends on.
package acceptance

import (
	"fmt"
	"os"
	"testing"
	"time"

	"example.com/shop/platform/devkit/tokens"
)

// system is the system under test.
var system struct {
	url      string
	internal string // where services call; empty if it cannot be reached from here
	key      *tokens.Key
}

// TestMain uses the system of SEAM_URL, SEAM_INTERNAL_URL and SEAM_KEY (the file of the signing
// key), as seam up -- COMMAND starts one. Without them no test runs.
func TestMain(m *testing.M) {
	system.url, system.internal = os.Getenv("SEAM_URL"), os.Getenv("SEAM_INTERNAL_URL")
	if system.url == "" {
		fmt.Println("no test runs, because SEAM_URL names no system: test/accept.sh starts one")
		return
	}
	var err error
	if system.key, err = tokens.LoadOrCreate(os.Getenv("SEAM_KEY")); err != nil {
		fmt.Fprintln(os.Stderr, "SEAM_KEY:", err)
		os.Exit(2)
	}
	os.Exit(m.Run())
}

// token describes a token to make; the zero value of a field means a good one.
type token struct {
	subject, role, audience, issuer string
	ttl                             time.Duration
}

func (t token) mint() string {
	return system.key.Mint(tokens.Claims{Subject: t.subject, Role: t.role, Audience: t.audience, Issuer: t.issuer,
		TTL: t.ttl})
}

func staff() string { return token{subject: "grace", role: "staff"}.mint() }
