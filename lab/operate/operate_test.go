// Package operate runs the shop by seam, as a person does who tries it: what the tests of
// tools/seam, which are for any product, cannot ask of it.
package operate

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"example.com/shop/platform/devkit/pgserver"
	"example.com/shop/platform/postgres"
	"example.com/shop/tools/topology"
)

// visit restocks, prints how often that was done, places an order, and waits until it is confirmed
// and its mail is there.
const visit = `
token() { "$BIN/seam" token --role "$1" --sub ada; }
until_it_says() { for _ in $(seq 200); do if "$1" | grep -q "$2"; then return; fi; sleep 0.1; done; "$1" >&2; exit 1; }
curl -sf "$SEAM_URL/v1/inventory/products/tea-assam/restock" -H "Authorization: Bearer $(token staff)" \
	-H "Idempotency-Key: $RUN" -H 'Content-Type: application/json' -d '{"quantity":1}' >&2
curl -sf "$SEAM_URL/v1/inventory/products/tea-assam" | sed 's/.*"restocked":\([0-9]*\).*/\1/'
curl -sf "$SEAM_URL/v1/orders" -H "Authorization: Bearer $(token customer)" -H "Idempotency-Key: $RUN" -H 'Content-Type: application/json' \
	-d "{\"email\":\"ada-$RUN@mail.example\",\"payment_token\":\"tok_ok\",\"lines\":[{\"sku\":\"tea-assam\",\"quantity\":2}]}" >&2
orders() { curl -sf "$SEAM_URL/v1/orders?limit=1" -H "Authorization: Bearer $(token customer)"; }
mails() { curl -sf "$MAIL_URL/messages?to=ada-$RUN@mail.example"; }
effects() { curl -sf "$PROVIDER_PAGE"; }
until_it_says orders confirmed
until_it_says mails message_id
until_it_says effects capture
`

// A shop takes orders beside the command of seam up, and finds its data in the next run.
func TestUpAroundACustomer(t *testing.T) {
	if !pgserver.Installed() {
		t.Skip("it needs a PostgreSQL on this machine: an installation's initdb")
	}
	bin, err := topology.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(bin) })
	server, err := pgserver.Start(t.Context(), pgserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.WithoutCancel(t.Context())) })
	for _, run := range []string{"1", "2"} {
		command := exec.CommandContext(t.Context(), filepath.Join(bin, "seam"), "up", "--", "sh", "-ec", visit)
		command.Env = append(os.Environ(), "BIN="+bin, "RUN="+run, "SEAM_DATABASE_URL="+postgres.WithDatabase(server.URL(), "kept"))
		var said bytes.Buffer
		command.Stderr = &said
		printed, err := command.Output()
		if err != nil || strings.TrimSpace(string(printed)) != run {
			t.Errorf("run %s: %v, it printed %q and said\n%s", run, err, printed, &said)
		}
	}
}
