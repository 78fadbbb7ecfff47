package main

import (
	"fmt"
	"html"
	"slices"
	"strings"

	"example.com/shop/architecture"
)

// Measures of the picture, in pixels. The width of a letter is an upper estimate, for any font.
const (
	svgMargin = 24
	svgColumn = 210 // from one module to the next
	svgBox    = 174
	svgRow    = 36 // from one arrow to the next
	svgLine   = 16 // of text
	svgLetter = 8
)

type svg struct {
	strings.Builder
	x     map[string]int // the middle of each column, by its module
	y     int
	width int
}

// mapSVG draws a column for each module, with its tables, an arrow for each event and call, and
// below a row for each topology.
func mapSVG(m architecture.Model) string {
	p := &svg{x: map[string]int{}, y: svgMargin}
	columns := m.Modules
	if slices.ContainsFunc(m.Events, func(e architecture.Fact) bool { return len(e.SubscribedBy) == 0 }) {
		columns = append(slices.Clip(columns), architecture.Module{}) // external subscribers
	}
	most := 0
	for i, c := range columns {
		p.x[c.Name] = svgMargin + svgBox/2 + i*svgColumn
		most = max(most, len(c.Tables))
	}
	p.width = 2*svgMargin + svgBox + (max(len(columns), 1)-1)*svgColumn

	tall := svgLine*(most+1) + 18
	foot := p.y + tall + svgRow*(len(m.Events)+len(m.Calls)) + svgRow/2
	for _, c := range columns {
		p.column(c, tall, foot)
	}
	p.y += tall
	for _, e := range m.Events {
		to := e.SubscribedBy
		if len(to) == 0 {
			to = []string{""}
		}
		p.arrow("event", e.Module, to, e.Topic)
	}
	for _, c := range m.Calls {
		p.arrow("call", c.From, []string{c.To}, "calls: "+strings.Join(c.Names, ", "))
	}
	p.y = foot + svgRow
	p.text(svgMargin, p.y, "heading", "Which processes run")
	left := 0
	for _, t := range m.Topologies {
		left = max(left, 2*svgMargin+svgLetter*len(t.Name))
	}
	for _, t := range m.Topologies {
		p.topology(t, left)
	}
	p.y += svgMargin
	return fmt.Sprintf(svgHead, p.width, p.y) + p.String() + "</svg>\n"
}

const svgHead = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d" role="img">
<title>The system, drawn from its code</title>
<style>
  text { font-family: system-ui, "DejaVu Sans", Arial, sans-serif; font-size: 12px; fill: #1f2328 }
  .name, .heading { font-size: 14px; font-weight: bold } .name, .table, .process { text-anchor: middle } .table { fill: #57606a }
  .label { stroke: #fff; stroke-width: 5px; paint-order: stroke } .label.right { text-anchor: end }
  .box { fill: #f6f8fa; stroke: #57606a } .life { stroke: #d0d7de } .world { stroke-dasharray: 2 3; fill: #fff }
  .event { stroke: #0550ae; fill: #0550ae } .call { stroke: #bc4c00; fill: #bc4c00; stroke-dasharray: 6 4 }
</style>
<defs>
  <marker id="event" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0 8 4 0 8z" fill="#0550ae"/></marker>
  <marker id="call" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0 8 4 0 8z" fill="#bc4c00"/></marker>
</defs>
<rect width="100%%" height="100%%" fill="#fff"/>
`

func (p *svg) text(x, y int, class, text string) {
	fmt.Fprintf(p, "<text x=\"%d\" y=\"%d\" class=\"%s\">%s</text>\n", x, y, class, html.EscapeString(text))
}

func (p *svg) column(c architecture.Module, tall, foot int) {
	x, class, name := p.x[c.Name], "box", c.Name
	if name == "" {
		class, name = "box world", "external"
	}
	fmt.Fprintf(p, "<line x1=\"%[1]d\" y1=\"%[2]d\" x2=\"%[1]d\" y2=\"%[3]d\" class=\"life\"/>\n", x, p.y+tall, foot)
	fmt.Fprintf(p, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"5\" class=\"%s\"/>\n",
		x-svgBox/2, p.y, svgBox, tall, class)
	p.text(x, p.y+svgLine+4, "name", name)
	for i, table := range c.Tables {
		p.text(x, p.y+svgLine*(i+2)+6, "table", table)
	}
}

// arrow draws an arrow from one column to others. Its label is at its start, on the longer side.
func (p *svg) arrow(class, from string, to []string, label string) {
	p.y += svgRow
	start, farthest := p.x[from], p.x[from]
	for _, t := range to {
		end := p.x[t]
		fmt.Fprintf(p, "<line x1=\"%[1]d\" y1=\"%[2]d\" x2=\"%[3]d\" y2=\"%[2]d\" class=\"%[4]s\" stroke-width=\"1.5\" marker-end=\"url(#%[4]s)\"/>\n",
			start, p.y, end, class)
		if distance(start, end) > distance(start, farthest) {
			farthest = end
		}
	}
	fmt.Fprintf(p, "<circle cx=\"%d\" cy=\"%d\" r=\"4\" class=\"%s\"/>\n", start, p.y, class)
	if farthest < start {
		p.text(start-10, p.y-6, "label right", label)
	} else {
		p.text(start+10, p.y-6, "label", label)
	}
}

func distance(a, b int) int { return max(a-b, b-a) }

func (p *svg) topology(t architecture.Topology, x int) {
	p.y += svgRow
	p.text(svgMargin, p.y, "label", t.Name)
	for _, process := range t.Processes {
		text := process.String()
		wide := svgLetter*len(text) + 20
		fmt.Fprintf(p, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"26\" rx=\"5\" class=\"box\"/>\n", x, p.y-18, wide)
		p.text(x+wide/2, p.y, "process", text)
		x += wide + 10
	}
	p.width = max(p.width, x+svgMargin)
}
