package architecture

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/shop/topology"
)

// TestReleaseContracts makes today's contracts the promise, for make release-contracts. It refuses what breaks the promise before: a
// break needs a new topic or a new route, and never a moved baseline.
func TestReleaseContracts(t *testing.T) {
	if contractsDo != "release" {
		t.Skip("it is for make release-contracts")
	}
	tree := repository(t)
	for _, r := range []rule{eventSchemas, contracts} {
		for _, v := range r.check(tree).broken {
			t.Error(v.tell())
		}
	}
	// As in test/acceptance, whose orders must have the time that they need and expire before tok_slow answers.
	shop := startShop(t, topology.Options{SlowPayment: 8 * time.Second, Env: []string{
		"LOG_LEVEL=error", "ORDERS_DEADLINE=5s", "PAYMENTS_CALL_TIMEOUT=500ms", "PAYMENTS_LEASE=5s", "PAYMENTS_QUIET=6s",
	}})
	compareOpenAPI(t, tree, shop)
	if t.Failed() {
		t.Fatal("the released contracts stay as they are")
	}

	suite := exec.CommandContext(t.Context(), "go", "test", "-count=1", "example.com/shop/test/acceptance")
	suite.Env = append(os.Environ(), "SHOP_URL="+shop.URL, "SHOP_MAIL_URL="+shop.Outside.MailURL, "SHOP_KEY="+filepath.Join(shop.State(), "key.pem"))
	if out, err := suite.CombinedOutput(); err != nil {
		t.Fatalf("the acceptance suite fails, so there is nothing to release: %v\n%s", err, out)
	}
	samples := choose(storedEvents(t, tree), outboxes(t, tree, shop))
	for _, e := range tree.Events() {
		if !slices.ContainsFunc(samples, func(s stored) bool { return s.topic == e.Topic }) {
			t.Errorf("%s: nothing in test/acceptance makes %s happen\n  instead: add a test that does, so that a sample of it can be kept", e.At(), e.Topic)
		}
	}
	if t.Failed() {
		t.Fatal("the released contracts stay as they are")
	}
	for _, file := range slices.Concat(tree.Match(contractsFolder+"/*"+schemaSuffix), tree.Match(contractsFolder+"/*"+openapiSuffix)) {
		write(t, releasedFolder+"/"+path.Base(file), tree[file])
	}
	lines := map[string]string{}
	for _, s := range samples {
		line, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		lines[s.topic] += string(line) + "\n"
	}
	for topic, text := range lines {
		write(t, releasedFolder+"/events/"+topic+storedSuffix, text)
	}
}

// outboxes are all events that the shop has stored, in every module's outbox.
func outboxes(t *testing.T, tree Tree, shop *topology.Shop) []stored {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), shop.AdminURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var all []stored
	for _, module := range tree.Modules() {
		rows, err := conn.Query(t.Context(), fmt.Sprintf("SELECT id, key, payload, headers, topic FROM %s.outbox ORDER BY id", pgx.Identifier{module}.Sanitize()))
		if err != nil {
			t.Fatal(err)
		}
		here, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s stored, err error) {
			return s, row.Scan(&s.ID, &s.Key, &s.Payload, &s.Headers, &s.topic)
		})
		if err != nil {
			t.Fatalf("read the outbox of %s: %v", module, err)
		}
		all = append(all, here...)
	}
	return all
}

// choose adds to the samples what they do not show yet. It takes all events of one key or none, so that what belongs together is
// replayed together, and as few keys as it can. What an earlier release has left stays.
func choose(kept, ran []stored) []stored {
	seen := map[string]bool{}
	for _, s := range kept {
		maps.Copy(seen, shows(s))
	}
	byKey := map[string][]stored{}
	for _, s := range ran {
		byKey[s.Key] = append(byKey[s.Key], s)
	}
	for {
		best, most := "", 0
		for _, key := range slices.Sorted(maps.Keys(byKey)) {
			fresh := map[string]bool{}
			for _, s := range byKey[key] {
				maps.Copy(fresh, shows(s))
			}
			maps.DeleteFunc(fresh, func(feature string, _ bool) bool { return seen[feature] })
			if len(fresh) > most {
				best, most = key, len(fresh)
			}
		}
		if most == 0 {
			break
		}
		for _, s := range byKey[best] {
			maps.Copy(seen, shows(s))
		}
		kept = append(kept, byKey[best]...)
		delete(byKey, best)
	}
	slices.SortFunc(kept, func(a, b stored) int { return cmp.Compare(a.ID.String(), b.ID.String()) })
	return kept
}

// word is a value that says which kind something is, such as out_of_stock, tok_ok or EUR; an id or a name is none.
var word = regexp.MustCompile(`^[a-z]+(_[a-z]+)*$|^[A-Z]{3}$`)

// shows are what a sample shows of its topic: which fields there are, and which words are in them.
func shows(s stored) map[string]bool {
	features := map[string]bool{}
	var walk func(where string, v any)
	walk = func(where string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, value := range v {
				walk(where+"/"+name, value)
			}
		case []any:
			features[fmt.Sprint(where, " of ", min(len(v), 2))] = true // none, one, many
			for _, value := range v {
				walk(where+"/items", value)
			}
		case string:
			if word.MatchString(v) {
				where += "=" + v
			}
			features[where] = true
		default:
			features[strings.TrimSpace(fmt.Sprintf("%s %T", where, v))] = true
		}
	}
	var payload any
	if err := json.Unmarshal(s.Payload, &payload); err == nil {
		walk(s.topic, payload)
	}
	return features
}
