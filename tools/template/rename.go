package template

import (
	"fmt"
	"go/scanner"
	"go/token"
	"path"
	"regexp"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// NameOf returns the name of the product with a module path: its last element, but for a version.
func NameOf(modulePath string) string {
	prefix, _, ok := module.SplitPathVersion(modulePath)
	if !ok {
		prefix = modulePath
	}
	return path.Base(prefix)
}

// Renamed returns the files of the same product under another module path and name. In Go it
// changes imports, texts and comments, and no identifier; elsewhere whole words, so that the shop
// in workshop stays. A word may follow an escape, as in "\tshop".
func (f Files) Renamed(modulePath, name string) (Files, error) {
	oldPath, oldName := f.Path(), f.Name()
	// A path first, because it has the name in it.
	words := regexp.MustCompile(`(^|[^\w./~-]|\\[nrt])` + regexp.QuoteMeta(oldPath) + `\b|(\b|\\[nrt])` + regexp.QuoteMeta(oldName) + `\b`)
	rename := func(text string) string {
		return words.ReplaceAllStringFunc(text, func(found string) string {
			if before, isPath := strings.CutSuffix(found, oldPath); isPath {
				return before + modulePath
			}
			return strings.TrimSuffix(found, oldName) + name
		})
	}
	renamed := Files{}
	for file, content := range f {
		var err error
		switch {
		case strings.HasSuffix(file, ".go"):
			content.Text, err = rewrite(content.Text, func(kind token.Token, literal string) string {
				if kind == token.IDENT {
					return literal
				}
				return rename(literal)
			})
		case path.Base(file) == "go.mod":
			content.Text, err = renameMod(rename(content.Text), modulePath)
		default:
			content.Text = rename(content.Text)
		}
		if err != nil {
			return nil, fmt.Errorf("rename in %s: %w", file, err)
		}
		renamed[file] = content
	}
	return renamed, nil
}

// rewrite replaces the literals, comments and names of a Go file, and formats it.
func rewrite(text string, replace func(kind token.Token, literal string) string) (string, error) {
	text = strings.ReplaceAll(text, "\r\n", "\n") // which the scanner leaves out
	var rewritten strings.Builder
	var s scanner.Scanner
	files := token.NewFileSet()
	file := files.AddFile("", files.Base(), len(text))
	s.Init(file, []byte(text), nil, scanner.ScanComments)
	copied := 0
	for {
		pos, kind, literal := s.Scan()
		if kind == token.EOF {
			break
		}
		if kind != token.STRING && kind != token.COMMENT && kind != token.IDENT {
			continue
		}
		if to := replace(kind, literal); to != literal {
			at := file.Offset(pos)
			rewritten.WriteString(text[copied:at] + to)
			copied = at + len(literal)
		}
	}
	rewritten.WriteString(text[copied:])
	return formatGo(rewritten.String())
}

// renameMod gives the requirements of the root the version that its path asks for: v2.0.0 of
// acme.example/loans/v2, and v0.0.0 without a number.
func renameMod(text, modulePath string) (string, error) {
	asked := "v0.0.0"
	if _, version, _ := module.SplitPathVersion(modulePath); version != "" {
		asked = module.PathMajorPrefix(version) + ".0.0"
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == modulePath && strings.HasSuffix(fields[1], ".0.0") {
			lines[i] = strings.Replace(line, fields[1], asked, 1)
		}
	}
	text = strings.Join(lines, "\n")
	_, err := modfile.Parse("go.mod", []byte(text), nil)
	return text, err
}
