package architecture

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestReleaseContracts releases today's contracts, with events that the acceptance suite has
// caused, for make release-contracts. It refuses breaking changes, which need a new topic or a new
// route.
func TestReleaseContracts(t *testing.T) {
	if os.Getenv("CONTRACTS") != "release" {
		t.Skip("make release-contracts runs it")
	}
	tree := repository(t)
	for _, r := range []rule{derived, contracts} {
		for _, v := range r.check(tree).broken {
			t.Error(v.message())
		}
	}
	database := databaseOf(t)
	if t.Failed() {
		t.Fatal("the released contracts are unchanged")
	}
	samples := choose(storedEvents(t, tree), outboxes(t, tree, database))
	for _, e := range tree.Events() {
		if !slices.ContainsFunc(samples, func(s stored) bool { return s.topic == e.Topic }) {
			t.Errorf("%s: nothing in test/acceptance publishes %s\n  instead: add a test that does, for a sample of it",
				e.At(), e.Topic)
		}
	}
	if t.Failed() {
		t.Fatal("the released contracts are unchanged")
	}
	for _, file := range slices.Concat(tree.Match(contractsFolder+"/*"+schemaSuffix),
		tree.Match(contractsFolder+"/*"+openapiSuffix)) {
		write(t, releasedFolder+"/"+path.Base(file), tree[file])
	}
	write(t, sumsFile, tree.sums())
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

// outboxes returns all events that the system has stored, of every module's outbox.
func outboxes(t *testing.T, tree Tree, conn *pgx.Conn) []stored {
	t.Helper()
	return inEach(t, conn, tree.Modules(), "SELECT id, key, payload, headers, topic FROM %s.outbox ORDER BY id",
		func(_ string, row pgx.CollectableRow) (s stored, err error) {
			err = row.Scan(&s.ID, &s.Key, &s.Payload, &s.Headers, &s.topic)
			return s, err
		})
}

// choose adds to the samples what they do not show yet. It takes all events of a key or none, so
// that related ones are replayed together, and as few keys as possible. It keeps the samples of
// earlier releases.
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

// word matches an enumerated value, such as out_of_reach or EUR, but no id or name.
var word = regexp.MustCompile(`^[a-z]+(_[a-z]+)*$|^[A-Z]{3}$`)

// shows returns what a sample shows of its topic: its fields and their enumerated values.
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
