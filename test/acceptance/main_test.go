// Package acceptance tests what the shop promises its clients, over HTTP alone. It needs only a
// base URL, a signing key and the mailboxes, so it runs against any topology.
package acceptance

import (
	"fmt"
	"os"
	"testing"
	"time"

	"example.com/shop/platform/devkit/tokens"
)

// shop is the shop under test.
var shop struct {
	url, mailURL string
	key          *tokens.Key
}

// TestMain uses the shop of SEAM_URL, MAIL_URL and SEAM_KEY (the file of the signing key), as
// seam up -- COMMAND starts one. Without them no test runs.
func TestMain(m *testing.M) {
	shop.url, shop.mailURL = os.Getenv("SEAM_URL"), os.Getenv("MAIL_URL")
	if shop.url == "" {
		fmt.Println("no test runs, because SEAM_URL names no shop: test/accept.sh starts one")
		return
	}
	var err error
	if shop.key, err = tokens.LoadOrCreate(os.Getenv("SEAM_KEY")); err != nil {
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
	return shop.key.Mint(tokens.Claims{Subject: t.subject, Role: t.role, Audience: t.audience, Issuer: t.issuer,
		TTL: t.ttl})
}

func staff() string { return token{subject: "grace", role: "staff"}.mint() }
