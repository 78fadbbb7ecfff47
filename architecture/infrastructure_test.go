package architecture

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// infrastructure keeps the system cheap until it is split: compose.yaml runs the monolith,
// PostgreSQL and one-time steps, unless the ledger has a reason for more.
var infrastructure = rule{
	name: "infrastructure",
	why: "a broker, a cache or a mesh that no extraction needs is run, patched and paid for by everyone; " +
		`see "Premature infrastructure" in architecture/README.md`,
	check: func(t Tree) findings {
		var f findings
		ledger := t.ledger()
		moved := slices.ContainsFunc(ledger.Extractions, func(e Extraction) bool { return e.Reached(Canary) })
		for _, file := range slices.Sorted(maps.Keys(t)) {
			if !infrastructural(file) {
				continue
			}
			if slices.Contains(orchestrated, path.Ext(file)) && !moved {
				f.add(file, "provisions what nothing in "+ledgerFile+" needs", "remove it, or enter its extraction there, once that is a canary")
			}
			for _, page := range pages(t, file, &f) {
				f.page(file, page, moved)
				if t[file+".tmpl"] == "" { // rule derived keeps what is generated as it should be
					f.left(file, page, ledger.Left())
				}
			}
			for _, given := range roleGiven.FindAllStringSubmatch(t[file], -1) {
				module, role := strings.ToLower(given[1]), map[string]string{"DATABASE": "rt", "MIGRATE": "migrate"}[given[2]]
				if given[3] != module || given[4] != role {
					f.add(file, fmt.Sprintf("gives %s_%s_URL the role %s_%s", given[1], given[2], given[3], given[4]),
						"give it "+module+"_"+role+": each process has its own module's rights and no more")
				}
				if own := strings.ToUpper(module+"_"+role) + "_PASSWORD"; given[5] != "" && given[5] != own {
					f.add(file, fmt.Sprintf("gives %s_%s_URL the password %s", given[1], given[2], given[5]),
						"give it "+own+": one password opens one role")
				}
			}
		}
		return f
	},
}

// page is a document of YAML, as far as it starts processes.
type page struct {
	Services map[string]struct {
		Image       string    `yaml:"image"`
		Extends     any       `yaml:"extends"`
		Environment yaml.Node `yaml:"environment"`
		EnvFile     yaml.Node `yaml:"env_file"`
	} `yaml:"services"`
	Include    any    `yaml:"include"`
	APIVersion string `yaml:"apiVersion"`
}

// pages reads the documents of a file. One that cannot be read may start anything.
func pages(t Tree, file string, f *findings) (found []page) {
	for decoder := yaml.NewDecoder(strings.NewReader(t[file])); path.Ext(file) != ".env" && !slices.Contains(orchestrated, path.Ext(file)); {
		var next page
		err := decoder.Decode(&next)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			f.add(file, "cannot be read as YAML: "+err.Error(), "correct it, or let it end with .tmpl if it is a template")
			break
		}
		found = append(found, next)
	}
	return found
}

// page refuses what a document starts that no extraction needs.
func (f *findings) page(file string, page page, moved bool) {
	if page.Services != nil && page.Include != nil {
		f.add(file, "includes another file",
			"copy its services into "+file+", where one sees all that has to run")
	}
	if page.APIVersion != "" && !moved {
		f.add(file, "is for an orchestrator, and nothing in "+ledgerFile+" needs one",
			"remove it, or enter its extraction there, once that is a canary")
	}
	for _, service := range slices.Sorted(maps.Keys(page.Services)) {
		of := page.Services[service]
		image, known := cheap[service]
		f.subjects++
		if !moved && !slices.Contains(theSplit, file) && (!known || of.Extends != nil || !image.MatchString(of.Image)) {
			f.add(file, "starts "+service+", and nothing in "+ledgerFile+" needs it",
				"remove it, or enter its extraction there, once that is a canary; the whole "+
					"split is "+theSplit[0])
		}
	}
}

// left refuses the settings of a decommissioned module in the monolith: it would have the login to
// data that are no longer its own. The address of the module's process is for those who call it.
func (f *findings) left(file string, page page, left []string) {
	for _, service := range slices.Sorted(maps.Keys(page.Services)) {
		of := page.Services[service]
		if !monolithImage.MatchString(of.Image) {
			continue
		}
		for _, word := range append(words(&of.Environment), words(&of.EnvFile)...) {
			setting := settingOf.FindStringSubmatch(word)
			if setting == nil || setting[2] == "URL" {
				continue
			}
			if module := strings.ToLower(setting[1] + setting[3]); slices.Contains(left, module) {
				f.add(file, "gives "+service+" "+strings.TrimSuffix(setting[0], "=")+", and "+module+" is decommissioned",
					"give it to the process of "+module+" alone")
			}
		}
	}
}

// monolithImage matches the image of the monolith, and settingOf a setting of a module, or a file
// of them.
var (
	monolithImage = regexp.MustCompile(`\bmonolith(?:[:@]|$)`)
	settingOf     = regexp.MustCompile(`^([A-Z0-9]+)_(\w+)(?:=|$)|^(?:\S*/)?([a-z0-9]+)(?:\.\w+)*\.env$`)
)

// words returns the plain values at and below a node of YAML.
func words(node *yaml.Node) (found []string) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind == yaml.ScalarNode {
		return []string{node.Value}
	}
	for _, below := range node.Content {
		found = append(found, words(below)...)
	}
	return found
}

// theSplit is an example of the whole split, on one database and on one for each module.
var theSplit = []string{"deploy/compose.services.yaml", "deploy/compose.databases.yaml"}

// roleGiven matches the connection of a module, with the role in it and the variable of its
// password.
var roleGiven = regexp.MustCompile(`\b([A-Z0-9_]+)_(DATABASE|MIGRATE)_URL["']?\s*[:=]\s*["']?postgres(?:ql)?://(\w+)_(rt|migrate|owner)\b(?::\$\{(\w+)[^}]*\}@)?`)

// orchestrated are files that only start or provision something.
var orchestrated = []string{".tf", ".hcl", ".nomad", ".bicep"}

// infrastructural reports whether a file may start processes: YAML, except of CI, and settings.
func infrastructural(file string) bool {
	ext := path.Ext(file)
	return slices.Contains(orchestrated, ext) || (ext == ".yaml" || ext == ".yml" || ext == ".env" || ext == ".json" && strings.Contains(path.Base(file), "compose")) &&
		!under(file, ".github") && !strings.Contains(file, "testdata/")
}

// cheap are the services before any extraction, with their images; the sandbox simulates what is
// external.
var cheap = map[string]*regexp.Regexp{
	"monolith": ofOurs, "setup": ofOurs, "migrate": ofOurs, "seed": ofOurs, "sandbox": ofOurs,
	"postgres": regexp.MustCompile(`^\S*postgres\S*$`),
}

// ofOurs matches an image that make images builds.
var ofOurs = regexp.MustCompile(`^\$\{SEAM_IMAGES:-seam-\}\w+:`)

// firstService refuses to extract a module first that others wait for.
var firstService = rule{
	name: "first-service",
	why: "a module that others call adds a network call to every request, each fault of the first move stops a saga " +
		"that it is a step of, and both are expensive to move back; " +
		`see "The wrong first service" in architecture/README.md`,
	asks: true,
	check: func(t Tree) findings {
		f := findings{subjects: len(t.Modules())}
		ledger := t.ledger()
		if len(ledger.Extractions) == 0 {
			return f
		}
		first := slices.MinFunc(ledger.Extractions, func(a, b Extraction) int {
			return a.Dates[Canary].Compare(b.Dates[Canary].Time)
		})
		arrows := t.Model().Arrows()
		waiting := waitingFor(arrows, first.Module)
		if waiting == "" || measured(first.Despite) {
			return f
		}
		fix := "give a measured reason for this one in despite: " + whatIsMeasured
		free := slices.DeleteFunc(t.Modules(), func(m string) bool { return waitingFor(arrows, m) != "" })
		if len(free) > 0 {
			fix = "begin with a module that no other waits for (" + strings.Join(free, ", ") + "), or " + fix
		}
		f.add(ledgerFile, first.Module+" is the first extraction, and "+waiting, fix)
		return f
	},
}

// waitingFor returns which modules wait for one, and how; "" if none does. They call it, or it is a
// step of a saga: it listens to one module, and the same or another one listens to it. No module
// waits for one that only listens, and what waits for one that only publishes began there.
func waitingFor(arrows []Arrow, module string) (how string) {
	var callers []string
	for _, a := range arrows {
		if a.Asks && a.To == module {
			callers = append(callers, a.From)
		}
	}
	if len(callers) > 0 {
		return strings.Join(callers, ", ") + " calls it while a client waits"
	}
	for _, in := range arrows {
		for _, out := range arrows {
			if in.Asks || in.To != module || in.From == module ||
				out.Asks || out.From != module || out.To == module || out.To == "" {
				continue
			}
			step := fmt.Sprintf("%s waits for its events (%s): %s → %s → %s",
				out.To, strings.Join(out.Labels, ", "), in.From, module, out.To)
			if in.From == out.To { // no way is clearer
				return step
			}
			how = cmp.Or(how, step)
		}
	}
	return how
}
