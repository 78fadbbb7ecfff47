package architecture

import (
	_ "embed"

	"go.yaml.in/yaml/v3"
)

//go:embed contextmap.yaml
var contextMap []byte

// Try is what seam up shows a person first, with URL, TOKEN (a customer's) and SEAM (the command) to
// be replaced.
//
//go:embed try.txt
var Try string

// Modules returns the bounded contexts, in the order of the context map, which is the list of them
// for everything that runs the system. It returns none if the map cannot be read, as the rule
// contextmap reports.
func Modules() (names []string) {
	var page yaml.Node
	if yaml.Unmarshal(contextMap, &page) != nil || page.Decode(new(map[string]any)) != nil {
		return nil
	}
	for i, node := range page.Content[0].Content {
		if i%2 == 0 { // the keys
			names = append(names, node.Value)
		}
	}
	return names
}
