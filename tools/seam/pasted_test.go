package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
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
	if err := os.Symlink(bin, filepath.Join(home, "bin")); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ before, paste, after, want string }{
		"the settings to operate with": {
			paste: find(t, greeting, `(?s)as with SPLIT or CANARY\):\n(.*)\n  bin/seam events lag`),
			after: "\nprintf %s \"$ORDERS_DATABASE_URL\"; bin/seam events lag >&2", want: `^postgres://orders_rt:`,
		},
		"the database": {
			before: "psql() { printf %s \"$1\"; }\n",
			paste:  find(t, greeting, `(?m)^  database +(.*)$`), want: "^" + regexp.QuoteMeta(database) + "$",
		},
		"the orders that were placed": {
			before: "curl() { printf '%s\n' \"$@\"; }\n",
			paste:  find(t, greeting, `(?s)"lines":[^\n]*\n(  curl .*)\n\nOperate it`), want: `(?m)^Authorization: Bearer ey\S+$`,
		},
	} {
		shell := exec.CommandContext(t.Context(), "sh", "-ec", test.before+test.paste+test.after)
		shell.Dir = home
		var said bytes.Buffer
		shell.Stderr = &said
		printed, err := shell.Output()
		if err != nil || !regexp.MustCompile(test.want).Match(printed) {
			t.Errorf("%s, of a shop in %q: %v, printed %q, said %s; want %s\n%s", name, dir, err, printed, &said,
				test.want, test.paste)
		}
	}
}
