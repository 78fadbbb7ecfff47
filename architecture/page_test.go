package architecture

import (
	"regexp"
	"strings"
	"testing"
)

var heading = regexp.MustCompile(`see "([^"]+)" in architecture/README.md$`)

// TestEveryRuleIsExplained checks that the heading of each rule's message is on the page.
func TestEveryRuleIsExplained(t *testing.T) {
	t.Parallel()
	page := repository(t)[Readme]
	for _, r := range all {
		named := heading.FindStringSubmatch(r.why)
		switch {
		case named == nil:
			t.Errorf("rule %s: its why does not end with a heading of %s", r.name, Readme)
		case !strings.Contains(page, "\n### "+named[1]+"\n"):
			t.Errorf("rule %s refers to %q, which is not a heading of %s", r.name, named[1], Readme)
		}
	}
}

func TestKnownViolations(t *testing.T) {
	t.Parallel()
	entry := "imports:\n  - {at: modules/parcels/pay.go, what: imports a, owner: grace, " +
		"reason: old, since: 2026-01-31}\n"
	known, err := parseKnown(entry)
	if err != nil {
		t.Fatal(err)
	}
	listed := violation{at: "modules/parcels/pay.go:7", what: "imports a"}
	another := violation{at: "modules/parcels/pay.go:9", what: "imports b"}
	if fresh, stale := known.sift("imports", []violation{listed}); len(fresh)+len(stale) > 0 {
		t.Errorf("a listed one: fresh %v, stale %v", fresh, stale)
	}
	if fresh, stale := known.sift("imports", []violation{listed, another}); len(fresh) != 1 || fresh[0] != another ||
		len(stale) > 0 {
		t.Errorf("a new one in the same file: fresh %v, stale %v", fresh, stale)
	}
	if fresh, stale := known.sift("imports", []violation{listed, listed}); len(fresh) != 1 || len(stale) > 0 {
		t.Errorf("the same twice: fresh %v, stale %v", fresh, stale)
	}
	if fresh, stale := known.sift("imports", nil); len(fresh) > 0 || len(stale) != 1 {
		t.Errorf("a fixed one: fresh %v, stale %v", fresh, stale)
	}
	for name, text := range map[string]string{
		"no rule":   strings.Replace(entry, "imports:", "import:", 1),
		"no owner":  strings.Replace(entry, "owner: grace, ", "", 1),
		"no date":   strings.Replace(entry, "2026-01-31", "January", 1),
		"no field":  strings.Replace(entry, "owner: grace", "owner: grace, until: never", 1),
		"no reason": strings.Replace(entry, "reason: old, ", "", 1),
	} {
		if _, err := parseKnown(text); err == nil {
			t.Errorf("%s: it was accepted", name)
		}
	}
}
