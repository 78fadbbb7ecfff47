package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	isc = `Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted,
provided that the above copyright notice and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED
WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT, INDIRECT, OR
CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT,
NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.
`
	gpl = `
This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public License as
published by the Free Software Foundation, either version 3 of the License, or (at your option) any later version.

This program is distributed in the hope that it will be useful, but WITHOUT ANY WARRANTY; without even the implied warranty of
MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE. See the GNU General Public License for more details.

You should have received a copy of the GNU General Public License along with this program. If not, see <https://www.gnu.org/licenses/>.
`
)

func TestALicenceThatIsNotAllowedIsRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		file, text string
		want       []licence
		says       string
	}{
		"allowed":      {"LICENSE", isc, []licence{{ID: "ISC"}}, ""},
		"not allowed":  {"COPYING", gpl, nil, "the licence GPL-3.0-or-later is not allowed"},
		"one of two":   {"LICENCE.txt", isc + gpl, nil, "the licence GPL-3.0-or-later is not allowed"},
		"of our own":   {"license.md", "You may look at it on Tuesdays, and on no other day of the week.", nil, "no licence that is known"},
		"added terms":  {"LICENSE", isc + "\nYou may look at it on Tuesdays, and on no other day.\n", nil, "no licence that is known"},
		"no such file": {"README.md", isc, nil, "it has no licence"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			if err := os.WriteFile(filepath.Join(folder, test.file), []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := licences(folder)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("the licences: %s", diff)
			}
			if (test.says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("it says %v, want %q", err, test.says)
			}
		})
	}
}
