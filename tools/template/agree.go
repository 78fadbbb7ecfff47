package template

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"example.com/shop/architecture"
)

// publish brings the entries public of the context map up to date: it lists each event that no
// module listens to, and no other.
func (f Files) publish() error {
	var agreed map[string]struct {
		ListensTo []string          `yaml:"listens_to"`
		Public    map[string]string `yaml:"public"`
	}
	if err := yaml.Unmarshal([]byte(f[contextMap].Text), &agreed); err != nil {
		return fmt.Errorf("read %s: %w", contextMap, err)
	}
	page := f[contextMap].Text
	for _, e := range f.events() {
		listened := false
		for _, a := range agreed {
			listened = listened || slices.Contains(a.ListensTo, e.Topic)
		}
		_, public := agreed[e.Module].Public[e.Topic]
		var err error
		switch {
		case listened && public:
			page, err = withoutPublic(page, e)
		case !listened && !public:
			page, err = withPublic(page, e)
		}
		if err != nil {
			return err
		}
	}
	if page != f[contextMap].Text {
		f.set(contextMap, page)
	}
	return nil
}

// withoutPublic takes an event out of those of its module that have no subscriber, and with the last
// one their list.
func withoutPublic(page string, e event) (string, error) {
	page, err := withoutKeys(page, [][]string{{e.Module, "public"}}, e.Topic)
	if m, _ := mapping(page, []string{e.Module, "public"}); err == nil && (m == nil || len(m.Content) == 0) {
		page, err = withoutKeys(page, [][]string{{e.Module}}, "public")
	}
	if m, _ := mapping(page, []string{e.Module}); err == nil && (m == nil || len(m.Content) == 0) {
		page = replaceLine(page, e.Module+":", e.Module+": {}\n")
	}
	return page, err
}

// withPublic adds an event to those of its module that have no subscriber.
func withPublic(page string, e event) (string, error) {
	m, err := mapping(page, []string{e.Module})
	if err != nil || m == nil {
		return page, err
	}
	line := fmt.Sprintf("    %s: to be said, who will listen\n", e.Topic)
	if m.Style == yaml.FlowStyle && len(m.Content) == 0 {
		return replaceLine(page, e.Module+":", e.Module+":\n  public:\n"+line), nil
	}
	at := below(m, "public")
	if at == nil {
		at, line = m, "  public:\n"+line
	}
	lines := strings.SplitAfter(page, "\n")
	page = strings.Join(slices.Insert(lines, architecture.LastLine(page, at), line), "")
	if public, err := mapping(page, []string{e.Module, "public"}); err != nil || below(public, e.Topic) == nil {
		return "", fmt.Errorf("say in %s by hand, in the entry public of %s, that %s has no subscriber", contextMap, e.Module, e.Topic)
	}
	return page, nil
}
