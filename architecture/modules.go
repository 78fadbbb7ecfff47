package architecture

import (
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed contextmap.yaml
var contextMap []byte

//go:embed contracts/*.openapi.json
var documents embed.FS

// Try is what seam up shows a person first, with URL, TOKEN (a customer's) and SEAM (the command)
// to be replaced.
//
//go:embed try.txt
var Try string

// Modules returns the bounded contexts, in the order of the context map, which is the list of them
// for everything that runs the system. It returns none if the map cannot be read, as the rule
// contextmap reports.
func Modules() (names []string) {
	var page yaml.Node
	if yaml.Unmarshal(contextMap, &page) != nil || page.Decode(new(map[string]any)) != nil || len(page.Content) == 0 {
		return nil
	}
	for i, node := range page.Content[0].Content {
		if i%2 == 0 { // the keys
			names = append(names, node.Value)
		}
	}
	return names
}

// Erasures returns the paths of the routes that end in /erasures, according to the contracts.
func Erasures() (paths []string, err error) {
	for _, module := range Modules() {
		var document struct{ Paths map[string]json.RawMessage }
		text, err := documents.ReadFile("contracts/" + module + ".openapi.json")
		if err == nil {
			err = json.Unmarshal(text, &document)
		}
		if err != nil {
			return nil, fmt.Errorf("read the routes of %s: %w", module, err)
		}
		for path := range document.Paths {
			if strings.HasSuffix(path, "/erasures") {
				paths = append(paths, path)
			}
		}
	}
	slices.Sort(paths)
	return paths, nil
}

// Listens returns the topics of other modules that each module listens to, according to the context
// map: those for which it has a durable on the broker.
func Listens() map[string][]string {
	topics := map[string][]string{}
	agreed, _ := agreements(string(contextMap)) // rule contextmap reports one that cannot be read
	for module, of := range agreed {
		topics[module] = of.ListensTo
	}
	return topics
}

// Calls returns which modules each module calls, according to the context map: a process that calls
// one finds it at the address in its setting <MODULE>_URL.
func Calls() map[string][]string {
	calls := map[string][]string{}
	agreed, _ := agreements(string(contextMap)) // rule contextmap reports one that cannot be read
	for module, of := range agreed {
		calls[module] = slices.Sorted(maps.Keys(of.Calls))
	}
	return calls
}

// agreement is a module's entry in the context map.
type agreement struct {
	ListensTo []string          `yaml:"listens_to"`
	Calls     map[string]string `yaml:"calls"`
	Public    map[string]string `yaml:"public"`
}

func agreements(page string) (agreed map[string]agreement, err error) {
	decoder := yaml.NewDecoder(strings.NewReader(page))
	decoder.KnownFields(true)
	if err = decoder.Decode(&agreed); page == "" {
		err = nil // then each module is reported as missing
	}
	return agreed, err
}
