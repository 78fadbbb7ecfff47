package architecture

import (
	"maps"
	"slices"
)

// pgNode is a node of the parser's tree: an object of JSON. A kind is written around it unless its place allows only one.
type pgNode map[string]any

// unwrap returns the node inside {"Kind": {…}}; the kind is empty if nothing is written around it.
func unwrap(tree any) (kind string, node pgNode) {
	m, _ := tree.(map[string]any)
	for key, value := range m {
		inner, isNode := value.(map[string]any)
		if len(m) == 1 && isNode && key[0] >= 'A' && key[0] <= 'Z' {
			return key, inner
		}
	}
	return "", m
}

func (n pgNode) node(key string) pgNode {
	_, inner := unwrap(n[key])
	return inner
}

func (n pgNode) list(key string) []any {
	l, _ := n[key].([]any)
	return l
}

func (n pgNode) text(key string) string {
	s, _ := n[key].(string)
	return s
}

func (n pgNode) number(key string) int {
	f, _ := n[key].(float64)
	return int(f)
}

func (n pgNode) keys() []string { return slices.Sorted(maps.Keys(n)) }

// pgWords are the strings of a list that holds nothing else but stars.
func pgWords(list []any) []string {
	var found []string
	for _, i := range list {
		switch kind, node := unwrap(i); kind {
		case "String":
			found = append(found, node.text("sval"))
		case "A_Star":
			found = append(found, "*")
		default:
			return nil
		}
	}
	return found
}

// pgConstant is the string that an expression consists of.
func pgConstant(expression any) (literal string, ok bool) {
	switch kind, node := unwrap(expression); kind {
	case "A_Const":
		literal, ok = node.node("sval")["sval"].(string)
	case "TypeCast":
		return pgConstant(node["arg"])
	}
	return literal, ok
}

// said leaves out the words that are empty.
func said(words ...string) []string {
	return slices.DeleteFunc(words, func(w string) bool { return w == "" })
}
