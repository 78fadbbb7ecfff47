package architecture

import (
	_ "embed"
	"fmt"

	"go.yaml.in/yaml/v3"
)

//go:embed contextmap.yaml
var contextMap []byte

// Modules returns the bounded contexts, in the order of the context map, which is the list of them
// for everything that runs the shop.
func Modules() (names []string) {
	var entries yaml.Node
	if err := yaml.Unmarshal(contextMap, &entries); err != nil || len(entries.Content) == 0 {
		panic(fmt.Sprintf("architecture/contextmap.yaml: %v", err)) // the rule contextmap refuses it
	}
	for i, node := range entries.Content[0].Content {
		if i%2 == 0 { // the keys
			names = append(names, node.Value)
		}
	}
	return names
}
