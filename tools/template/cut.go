package template

import (
	"slices"
	"strings"
)

// cut is a part of a file to be removed.
type cut struct{ from, to int }

// wholeLines widens a cut to a comma and a comment that follow, to the comment lines above if it
// begins a line, and to the whole lines if nothing else is on them.
func wholeLines(text string, from, to int) cut {
	for to < len(text) && (text[to] == ',' || text[to] == ' ' || text[to] == '\t') {
		to++
	}
	if rest := text[to:]; strings.HasPrefix(rest, "//") {
		to += strings.IndexByte(rest, '\n')
	}
	start := strings.LastIndexByte(text[:from], '\n') + 1
	if strings.TrimSpace(text[start:from]) != "" || to < len(text) && text[to] != '\n' {
		return cut{from, to}
	}
	for start > 0 {
		above := strings.LastIndexByte(text[:start-1], '\n') + 1
		if !strings.HasPrefix(strings.TrimSpace(text[above:start]), "//") {
			break
		}
		start = above
	}
	return cut{start, to + 1}
}

// cutOut removes the cuts, of which one may contain others, and formats the rest.
func cutOut(text string, cuts []cut) (string, error) {
	if len(cuts) == 0 {
		return text, nil
	}
	slices.SortFunc(cuts, func(a, b cut) int { return a.from - b.from })
	var left strings.Builder
	at := 0
	for _, c := range cuts {
		if c.from > at {
			left.WriteString(text[at:c.from])
		}
		at = max(at, c.to)
	}
	left.WriteString(text[at:])
	return formatGo(left.String())
}
