package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"example.com/shop/architecture"
)

// find returns what the pattern's group matches.
func find(t *testing.T, text, pattern string) string {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("there is no %s in:\n%s", pattern, text)
	}
	return found[1]
}

// checkPasted runs the lines that seam prints for a shell in a real one, in a folder with bin/seam.
func checkPasted(t *testing.T, greeting, dir, database string) {
	t.Helper()
	home := t.TempDir()
	example := find(t, greeting, `(?s)\n  data +[^\n]*\n\n(.*)\nOperate it`)
	if err := os.Symlink(bin, filepath.Join(home, "bin")); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ before, paste, after, want string }{
		"the settings to operate with": {
			paste: find(t, greeting, `(?s)as with SPLIT or CANARY\):\n(.*)\n  bin/seam events lag`),
			after: "\nprintf %s \"$" + setting(aModule()) + "\"; bin/seam events lag >&2", want: "^postgres://" + aModule() + "_rt:",
		},
		"the database": {
			before: "psql() { printf %s \"$1\"; }\n",
			paste:  find(t, greeting, `(?m)^  database +(.*)$`), want: "^" + regexp.QuoteMeta(database) + "$",
		},
		"the example": { // each of its commands with a token has one
			before: "curl() { for word; do case $word in Authorization*) echo \"$word\";; esac; done; }\n",
			paste:  strings.Join(regexp.MustCompile(`(?m)^  .*$`).FindAllString(example, -1), "\n"),
			want:   fmt.Sprintf(`^(Authorization: Bearer ey[\w.-]+\n){%d}$`, strings.Count(architecture.Try, "Bearer")),
		},
	} {
		shell := exec.CommandContext(t.Context(), "sh", "-ec", test.before+test.paste+test.after)
		shell.Dir = home
		var said bytes.Buffer
		shell.Stderr = &said
		printed, err := shell.Output()
		if err != nil || !regexp.MustCompile(test.want).Match(printed) {
			t.Errorf("%s, of a system in %q: %v, printed %q, said %s; want %s\n%s", name, dir, err, printed, &said,
				test.want, test.paste)
		}
	}
}
