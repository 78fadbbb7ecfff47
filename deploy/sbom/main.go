// Command sbom prints what commands are made of, as CycloneDX: the release of Go and each module
// that is linked, with its licences.
//
//	sbom bin/monolith bin/gateway
//
// It fails when a module's licence is not among the allowed ones, or has none that is known.
package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// allowed are the licences of what may be linked, as SPDX names them.
var allowed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0"}

// read are the licences that a person has read, because no list has them.
var read = map[string]string{
	"github.com/xi2/xz@v0.0.0-20171230120015-48954b6210f8": "public domain",
	"go.yaml.in/yaml/v3@v3.0.6":                            "MIT and Apache-2.0", // with the names of their files
}

type bill struct {
	Format     string      `json:"bomFormat"`
	Spec       string      `json:"specVersion"`
	Version    int         `json:"version"`
	Components []component `json:"components"`
}

type component struct {
	Type     string  `json:"type"`
	Name     string  `json:"name"`
	Version  string  `json:"version"`
	PURL     string  `json:"purl"`
	Licences []named `json:"licenses"`
}

type named struct {
	Licence licence `json:"license"`
}

type licence struct {
	ID   string `json:"id,omitempty"` // as SPDX names it
	Name string `json:"name,omitempty"`
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "sbom: name a command's file, as in sbom bin/monolith")
		os.Exit(2)
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(files []string) error {
	release, modules, err := linked(files)
	if err != nil {
		return err
	}
	folders, err := download(modules)
	if err != nil {
		return err
	}
	b := bill{Format: "CycloneDX", Spec: "1.5", Version: 1, Components: []component{of("std@"+release, licence{ID: "BSD-3-Clause"})}}
	var refused []error
	for _, m := range modules {
		if name := read[m]; name != "" {
			b.Components = append(b.Components, of(m, licence{Name: name}))
			continue
		}
		found, err := licences(folders[m])
		if err != nil {
			refused = append(refused, fmt.Errorf("%s: %w", m, err))
		}
		b.Components = append(b.Components, of(m, found...))
	}
	if err := errors.Join(refused...); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(b)
}

func of(module string, licences ...licence) component {
	name, version, _ := strings.Cut(module, "@")
	c := component{Type: "library", Name: name, Version: version, PURL: "pkg:golang/" + module}
	for _, l := range licences {
		c.Licences = append(c.Licences, named{l})
	}
	return c
}

// linked returns the release of Go and the modules, as path@version, that the files say they are
// made of, without this repository's.
func linked(files []string) (release string, modules []string, err error) {
	for _, file := range files {
		info, err := buildinfo.ReadFile(file)
		if err != nil {
			return "", nil, err
		}
		release = strings.TrimPrefix(info.GoVersion, "go")
		for _, m := range info.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			if m.Version != "" && m.Version != "(devel)" {
				modules = append(modules, m.Path+"@"+m.Version)
			}
		}
	}
	slices.Sort(modules)
	return release, slices.Compact(modules), nil
}

// download returns the modules' folders in Go's module cache.
func download(modules []string) (folders map[string]string, err error) {
	command := exec.Command("go", append([]string{"mod", "download", "-json"}, modules...)...) //nolint:gosec,noctx // the binaries' own modules
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("download the modules: %w", err)
	}
	folders = map[string]string{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var m struct{ Path, Version, Dir string }
		if err := decoder.Decode(&m); errors.Is(err, io.EOF) {
			return folders, nil
		} else if err != nil {
			return nil, err
		}
		folders[m.Path+"@"+m.Version] = m.Dir
	}
}

var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying)([-.].*)?$`)

// licences returns the licences in a module's folder, and an error unless all are known and
// allowed.
func licences(folder string) (found []licence, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if entry.IsDir() || !licenceFile.MatchString(entry.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, entry.Name())) //nolint:gosec // of a module that we link
		if err != nil {
			return nil, err
		}
		covered := licensecheck.Scan(text)
		if covered.Percent < 95 {
			return nil, fmt.Errorf("%s is no licence that is known", entry.Name())
		}
		for _, match := range covered.Match {
			if !slices.Contains(allowed, match.ID) {
				return nil, fmt.Errorf("the licence %s is not allowed: link another module, or allow it in deploy/sbom", match.ID)
			}
			if !slices.Contains(found, licence{ID: match.ID}) {
				found = append(found, licence{ID: match.ID})
			}
		}
	}
	if len(found) == 0 {
		return nil, errors.New("it has no licence: link another module")
	}
	return found, nil
}
