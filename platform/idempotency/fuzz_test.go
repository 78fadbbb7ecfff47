package idempotency

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/pgtest"
)

// A key is refused, or its request is done once, and another request with it never.
func FuzzKey(f *testing.F) {
	for _, key := range []string{"", "k", " ", strings.Repeat("k", 255), strings.Repeat("k", 256), "a\x00b", "a\nb",
		"a\xff", "ü", "%00", `\`, "' OR 1=1 --", "\x7f"} {
		f.Add("ann", key, "mug", "cup")
	}
	f.Add("ü\u2028", "k", "a\\u0000", "a\u0000")
	f.Add("ann\nPOST /others", "k", "<>&", "\\u003c\\u003e\\u0026")
	const table = "-- +goose Up\nCREATE TABLE effects (id text PRIMARY KEY);"
	migrations := fstest.MapFS{"0001_effects.sql": {Data: []byte(table)}}
	pool := pgtest.New(f, pgtest.Schema{Module: "alpha", Migrations: migrations}).Module(f, "alpha")
	runs := 0
	f.Fuzz(func(t *testing.T, subject, key, sku, otherSKU string) {
		// A token's subject and a body's text never are.
		if strings.ContainsRune(subject, 0) || len(subject) > 255 || !utf8.ValidString(subject+sku+otherSKU) {
			return
		}
		runs++
		subject = fmt.Sprintf("%d %s", runs, subject)
		place := func(sku, id string) (got answer, err error) {
			key := NewKey(subject, "POST /things", key, order{sku})
			err = pool.InTx(t.Context(), func(tx pgx.Tx) error {
				got, err = doTx(t.Context(), tx, key, func() (answer, error) {
					_, err := tx.Exec(t.Context(), "INSERT INTO effects (id) VALUES ($1)", id)
					return answerOf(id), err
				})
				return err
			})
			return got, err
		}
		first, again := fmt.Sprintf("%d-first", runs), fmt.Sprintf("%d-again", runs)
		got, err := place(sku, first)
		if valid := printable.MatchString(key); errors.Is(err, ErrKey) == valid ||
			valid && (err != nil || got != answerOf(first)) {
			t.Fatalf("%q: %+v, %v", key, got, err)
		} else if !valid {
			return
		}
		if got, err := place(sku, again); err != nil || got != answerOf(first) {
			t.Errorf("%q again: %+v, %v", key, got, err)
		}
		if _, err := place(otherSKU, again); errors.Is(err, ErrReused) == (sku == otherSKU) {
			t.Errorf("%q for %q and then for %q: %v", key, sku, otherSKU, err)
		}
	})
}
