package idempotency

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/postgres"
)

// setup returns the databases of two modules, each with a table effects.
func setup(t testing.TB) (pool, other *postgres.DB) {
	t.Helper()
	const table = "-- +goose Up\nCREATE TABLE effects (id text PRIMARY KEY);"
	schema := pgtest.Schema{Module: "alpha", Migrations: fstest.MapFS{"0001_effects.sql": {Data: []byte(table)}}}
	db := pgtest.New(t, schema, pgtest.Schema{Module: "beta", Migrations: schema.Migrations})
	return db.Module(t, "alpha"), db.Module(t, "beta")
}

// answer is like an operation's output: status, header and body are stored.
type answer struct {
	Status   int
	Location string `header:"Location"`
	Body     struct {
		ID    string `json:"id"`
		Total int64  `json:"total"`
	}
}

func answerOf(id string) answer {
	a := answer{Status: 201, Location: "/things/" + id}
	a.Body.ID, a.Body.Total = id, 1<<60+1
	return a
}

type thing struct {
	Name string `json:"name"`
}

func keyOf(key string) Key { return NewKey("ann", "POST /things", key, thing{"mug"}) }

// place writes one row and its answer in one transaction.
func place(ctx context.Context, pool *postgres.DB, key Key, id string) (got answer, err error) {
	return do(ctx, pool, key, func(tx pgx.Tx) (answer, error) {
		_, err := tx.Exec(ctx, "INSERT INTO effects (id) VALUES ($1)", id)
		return answerOf(id), err
	})
}

// do is a transaction of DoTx with one key.
func do(ctx context.Context, pool *postgres.DB, key Key, effect func(tx pgx.Tx) (answer, error)) (got answer, err error) {
	err = pool.InTx(ctx, func(tx pgx.Tx) error {
		results, err := DoTx(ctx, tx, []Key{key}, func([]int) ([]postgres.Result[answer], error) {
			a, err := effect(tx)
			return []postgres.Result[answer]{{Value: a}}, err
		})
		if err == nil {
			got, err = results[0].Value, results[0].Err
		}
		return err
	})
	return got, err
}

// A key's request is done once, and another request with it never.
func FuzzKey(f *testing.F) {
	for _, key := range []string{"", "k", " ", strings.Repeat("k", 255), "tab\t", "a\nb", "ü", "%00", `\`, "' OR 1=1 --", "\x7f"} {
		f.Add("ann", key, "mug", "cup")
	}
	f.Add("ü\u2028", "k", "a\\u0000", "a\u0000")
	f.Add("ann\nPOST /others", "k", "<>&", "\\u003c\\u003e\\u0026")
	pool, _ := setup(f)
	runs := 0
	f.Fuzz(func(t *testing.T, subject, key, name, otherName string) {
		// A token's subject, a key of Header and a body's text never are.
		if strings.ContainsRune(subject+key, 0) || len(subject) > 255 || len(key) > 255 || !utf8.ValidString(subject+key+name+otherName) {
			return
		}
		runs++
		subject = fmt.Sprintf("%d %s", runs, subject)
		first, again := fmt.Sprintf("%d-first", runs), fmt.Sprintf("%d-again", runs)
		k, reused := NewKey(subject, "POST /things", key, thing{name}), NewKey(subject, "POST /things", key, thing{otherName})
		if _, ok, err := Stored[answer](t.Context(), pool, k); ok || err != nil {
			t.Errorf("%q, before the first request: %v, %v", key, ok, err)
		}
		for _, id := range []string{first, again} {
			if got, err := place(t.Context(), pool, k, id); err != nil || got != answerOf(first) {
				t.Fatalf("%q, %s: %+v, %v", key, id, got, err)
			}
		}
		if got, ok, err := Stored[answer](t.Context(), pool, k); !ok || err != nil || got != answerOf(first) {
			t.Errorf("%q, stored: %+v, %v, %v", key, got, ok, err)
		}
		_, _, storedErr := Stored[answer](t.Context(), pool, reused)
		_, err := place(t.Context(), pool, reused, again)
		if same := name == otherName; errors.Is(err, ErrReused) == same || errors.Is(storedErr, ErrReused) == same {
			t.Errorf("%q for %q and then for %q: %v, stored %v", key, name, otherName, err, storedErr)
		}
	})
}

// A key that is running is refused at once. It is one request of one caller to one route of a
// module.
func TestAKeyThatIsRunning(t *testing.T) {
	t.Parallel()
	pool, module := setup(t)
	others := func() {
		for id, other := range map[string]struct {
			*postgres.DB
			Key
		}{
			"another key":    {pool, keyOf("k2")},
			"another caller": {pool, NewKey("bob", "POST /things", "k", thing{"mug"})},
			"another route":  {pool, NewKey("ann", "POST /others", "k", thing{"mug"})},
			"another module": {module, keyOf("k")},
		} {
			if got, err := place(t.Context(), other.DB, other.Key, id); err != nil || got != answerOf(id) {
				t.Errorf("%s: %v %v", id, got, err)
			}
		}
	}
	_, err := do(t.Context(), pool, keyOf("k"), func(pgx.Tx) (answer, error) {
		if _, err := place(t.Context(), pool, keyOf("k"), "two"); !errors.Is(err, ErrRunning) {
			t.Errorf("the same key: %v", err)
		}
		others()
		return answerOf("one"), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := place(t.Context(), pool, keyOf("k"), "three"); err != nil || got != answerOf("one") {
		t.Errorf("afterwards: %v %v", got, err)
	}
	others()
}

func TestFailedEffectFreesTheKey(t *testing.T) {
	t.Parallel()
	pool, _ := setup(t)
	failure := errors.New("no room")
	_, err := do(t.Context(), pool, keyOf("k"), func(pgx.Tx) (answer, error) { return answer{}, failure })
	if !errors.Is(err, failure) {
		t.Errorf("the effect's error: %v", err)
	}
	// A transaction that fails later stores no answer either.
	err = pool.InTx(t.Context(), func(tx pgx.Tx) error {
		lost := func([]int) ([]postgres.Result[answer], error) {
			return []postgres.Result[answer]{{Value: answerOf("lost")}}, nil
		}
		_, err := DoTx(t.Context(), tx, []Key{keyOf("k")}, lost)
		return errors.Join(err, failure)
	})
	if !errors.Is(err, failure) {
		t.Fatal(err)
	}
	if got, err := place(t.Context(), pool, keyOf("k"), "one"); err != nil || got != answerOf("one") {
		t.Errorf("afterwards: %v %v", got, err)
	}
}

// Of many concurrent requests one has the effect; the others get its answer or ErrRunning.
func TestStorm(t *testing.T) {
	t.Parallel()
	pool, _ := setup(t)
	for round := range 20 {
		key := keyOf(uuid.NewString())
		ids := make(chan string, 16)
		var group sync.WaitGroup
		for range cap(ids) {
			group.Go(func() {
				switch got, err := place(t.Context(), pool, key, uuid.NewString()); {
				case errors.Is(err, ErrRunning):
				case err != nil:
					t.Error(err)
				default:
					ids <- got.Body.ID
				}
			})
		}
		group.Wait()
		close(ids)
		distinct := map[string]bool{}
		for id := range ids {
			distinct[id] = true
		}
		var effects int
		err := pool.QueryRow(t.Context(), "SELECT count(*) FROM effects").Scan(&effects)
		if err != nil || effects != round+1 || len(distinct) != 1 {
			t.Errorf("%d effects of %d keys, %d answers (%v)", effects, round+1, len(distinct), err)
		}
	}
}

func TestPrune(t *testing.T) {
	t.Parallel()
	pool, _ := setup(t)
	for _, key := range []string{"a", "b", "c", "new"} {
		if _, err := place(t.Context(), pool, keyOf(key), key); err != nil {
			t.Fatal(err)
		}
	}
	const age = "UPDATE idempotency_keys SET created_at = now() - interval '25 hours' WHERE key <> 'new'"
	if _, err := pool.Exec(t.Context(), age); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int64{2, 1, 0} {
		if n, err := prune(t.Context(), pool, 24*time.Hour, 2); n != want || err != nil {
			t.Errorf("pruned %d (%v), want %d", n, err, want)
		}
	}
	if _, ok, err := Stored[answer](t.Context(), pool, keyOf("new")); !ok || err != nil {
		t.Errorf("a young answer: %v %v", ok, err)
	}
}

// Each of several keys is decided on its own, and one that occurs twice counts once.
func TestSeveralKeys(t *testing.T) {
	t.Parallel()
	db, _ := setup(t)
	if _, err := place(t.Context(), db, keyOf("stored"), "old"); err != nil {
		t.Fatal(err)
	}
	reused := NewKey("ann", "POST /things", "stored", thing{"cup"})
	refusal := errors.New("no room")
	keys := []Key{keyOf("new"), keyOf("stored"), keyOf("new"), reused, keyOf("newer"), keyOf("refused")}
	var results []postgres.Result[answer]
	err := db.InTx(t.Context(), func(tx pgx.Tx) (err error) {
		results, err = DoTx(t.Context(), tx, keys, func(fresh []int) ([]postgres.Result[answer], error) {
			if !slices.Equal(fresh, []int{0, 4, 5}) {
				t.Errorf("fresh keys %v", fresh)
			}
			return []postgres.Result[answer]{{Value: answerOf("new")}, {Value: answerOf("newer")}, {Err: refusal}}, nil
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	type result = postgres.Result[answer]
	want := []result{{Value: answerOf("new")}, {Value: answerOf("old")}, {Err: ErrRunning}, {Err: ErrReused},
		{Value: answerOf("newer")}, {Err: refusal}}
	sameError := cmp.Comparer(func(a, b error) bool { return errors.Is(a, b) })
	if diff := cmp.Diff(want, results, sameError); diff != "" {
		t.Error(diff)
	}
	for _, key := range []string{"new", "newer"} {
		if got, ok, err := Stored[answer](t.Context(), db, keyOf(key)); !ok || err != nil || got != answerOf(key) {
			t.Errorf("%s: stored %v %v %v", key, got, ok, err)
		}
	}
	if got, err := place(t.Context(), db, keyOf("refused"), "later"); err != nil || got != answerOf("later") {
		t.Errorf("a refused key, once more: %v %v", got, err)
	}
}
