package idempotency

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/postgres"
)

// setup returns the databases of two modules, each with a table effects.
func setup(t *testing.T) (pool, other *postgres.DB) {
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

type order struct {
	SKU string `json:"sku"`
}

func keyOf(key string) Key { return NewKey("ann", "POST /things", key, order{"mug"}) }

// place writes one row and its answer in one transaction.
func place(t *testing.T, pool *postgres.DB, key Key, id string) (got answer, err error) {
	err = pool.InTx(t.Context(), func(tx pgx.Tx) error {
		got, err = doTx(t.Context(), tx, key, func() (answer, error) {
			_, err := tx.Exec(t.Context(), "INSERT INTO effects (id) VALUES ($1)", id)
			return answerOf(id), err
		})
		return err
	})
	return got, err
}

// doTx is DoTx with one key.
func doTx(ctx context.Context, tx pgx.Tx, key Key, effect func() (answer, error)) (answer, error) {
	results, err := DoTx(ctx, tx, []Key{key}, func([]int) ([]answer, error) {
		a, err := effect()
		return []answer{a}, err
	})
	if err != nil {
		return answer{}, err
	}
	return results[0].Value, results[0].Err
}

func effects(t *testing.T, pool *postgres.DB) (n int) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM effects").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRepeatedRequestHasTheFirstAnswer(t *testing.T) {
	t.Parallel()
	pool, _ := setup(t)
	if _, ok, err := Stored[answer](t.Context(), pool, keyOf("k")); ok || err != nil {
		t.Fatalf("before the first request: %v %v", ok, err)
	}
	for _, id := range []string{"one", "two"} {
		got, err := place(t, pool, keyOf("k"), id)
		if err != nil || !cmp.Equal(got, answerOf("one")) {
			t.Errorf("placing %s: %v %v", id, got, err)
		}
	}
	got, ok, err := Stored[answer](t.Context(), pool, keyOf("k"))
	if err != nil || !ok || !cmp.Equal(got, answerOf("one")) {
		t.Errorf("stored: %v %v %v", got, ok, err)
	}
	if n := effects(t, pool); n != 1 {
		t.Errorf("%d effects", n)
	}
}

func TestKeyOfAnotherRequest(t *testing.T) {
	t.Parallel()
	pool, other := setup(t)
	if _, err := place(t, pool, keyOf("k"), "one"); err != nil {
		t.Fatal(err)
	}
	reused := NewKey("ann", "POST /things", "k", order{"cup"})
	if _, _, err := Stored[answer](t.Context(), pool, reused); !errors.Is(err, ErrReused) {
		t.Errorf("stored: %v", err)
	}
	if _, err := place(t, pool, reused, "two"); !errors.Is(err, ErrReused) {
		t.Errorf("place: %v", err)
	}
	for id, key := range map[string]Key{
		"another key":    keyOf("k2"),
		"another caller": NewKey("bob", "POST /things", "k", order{"mug"}),
		"another route":  NewKey("ann", "POST /others", "k", order{"mug"}),
	} {
		if got, err := place(t, pool, key, id); err != nil || got.Body.ID != id {
			t.Errorf("%s: %v %v", id, got, err)
		}
	}
	if got, err := place(t, other, keyOf("k"), "another module"); err != nil || got.Body.ID != "another module" {
		t.Errorf("another module: %v %v", got, err)
	}
}

func TestRunningKeyIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	pool, other := setup(t)
	err := pool.InTx(t.Context(), func(tx pgx.Tx) error {
		_, err := doTx(t.Context(), tx, keyOf("k"), func() (answer, error) {
			if _, err := place(t, pool, keyOf("k"), "two"); !errors.Is(err, ErrRunning) {
				t.Errorf("the same key: %v", err)
			}
			// The lock is one per module, key, caller and route.
			if _, err := place(t, pool, NewKey("bob", "POST /things", "k", order{}), "bob's"); err != nil {
				t.Errorf("another caller's key: %v", err)
			}
			if _, err := place(t, other, keyOf("k"), "other"); err != nil {
				t.Errorf("another module's key: %v", err)
			}
			return answerOf("one"), nil
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := place(t, pool, keyOf("k"), "three"); err != nil || got.Body.ID != "one" {
		t.Errorf("afterwards: %v %v", got, err)
	}
}

func TestFailedEffectFreesTheKey(t *testing.T) {
	t.Parallel()
	pool, _ := setup(t)
	failure := errors.New("no stock")
	err := pool.InTx(t.Context(), func(tx pgx.Tx) error {
		_, err := doTx(t.Context(), tx, keyOf("k"), func() (answer, error) { return answer{}, failure })
		return err
	})
	if !errors.Is(err, failure) {
		t.Errorf("the effect's error: %v", err)
	}
	// A transaction that fails later stores no answer either.
	err = pool.InTx(t.Context(), func(tx pgx.Tx) error {
		_, err := doTx(t.Context(), tx, keyOf("k"), func() (answer, error) { return answerOf("lost"), nil })
		return errors.Join(err, failure)
	})
	if !errors.Is(err, failure) {
		t.Fatal(err)
	}
	if got, err := place(t, pool, keyOf("k"), "one"); err != nil || got.Body.ID != "one" {
		t.Errorf("afterwards: %v %v", got, err)
	}
}

// Of many concurrent requests one has the effect; the others get its answer or ErrRunning.
func TestStorm(t *testing.T) {
	t.Parallel()
	pool, _ := setup(t)
	for range 20 {
		key := keyOf(uuid.NewString())
		before := effects(t, pool)
		ids := make(chan string, 16)
		var group sync.WaitGroup
		for range cap(ids) {
			group.Go(func() {
				id := uuid.NewString()
				switch got, err := place(t, pool, key, id); {
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
		if n := effects(t, pool) - before; n != 1 || len(distinct) != 1 {
			t.Errorf("%d effects, %d answers", n, len(distinct))
		}
	}
}

func TestInvalidKeys(t *testing.T) {
	t.Parallel()
	pool, _ := setup(t)
	for _, text := range []string{"", strings.Repeat("k", 256), "tab\t", "nul\x00", "é"} {
		key := keyOf(text)
		if _, _, err := Stored[answer](t.Context(), nil, key); !errors.Is(err, ErrKey) {
			t.Errorf("stored %q: %v", text, err)
		}
		err := pool.InTx(t.Context(), func(tx pgx.Tx) error {
			_, err := doTx(t.Context(), tx, key, func() (answer, error) { panic("called") })
			return err
		})
		if !errors.Is(err, ErrKey) {
			t.Errorf("do %q: %v", text, err)
		}
	}
	if key := keyOf(strings.Repeat("k", 255)); key.err != nil {
		t.Error(key.err)
	}
	if key := NewKey("ann", "POST /things", "k", make(chan int)); key.err == nil {
		t.Error("a request that cannot be compared was accepted")
	}
}

func TestPrune(t *testing.T) {
	t.Parallel()
	pool, _ := setup(t)
	for _, key := range []string{"a", "b", "c", "new"} {
		if _, err := place(t, pool, keyOf(key), key); err != nil {
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
	if _, err := place(t, db, keyOf("stored"), "old"); err != nil {
		t.Fatal(err)
	}
	reused := NewKey("ann", "POST /things", "stored", order{"cup"})
	keys := []Key{keyOf("stored"), keyOf("new"), keyOf("new"), reused, keyOf(""), keyOf("newer")}
	var fresh []int
	var results []postgres.Result[answer]
	err := db.InTx(t.Context(), func(tx pgx.Tx) (err error) {
		results, err = DoTx(t.Context(), tx, keys, func(indexes []int) (answers []answer, err error) {
			fresh = indexes
			for range indexes {
				answers = append(answers, answerOf("fresh"))
			}
			return answers, nil
		})
		return err
	})
	if err != nil || !slices.Equal(fresh, []int{1, 5}) {
		t.Fatalf("fresh keys %v: %v", fresh, err)
	}
	for i, want := range []error{nil, nil, ErrRunning, ErrReused, ErrKey, nil} {
		if !errors.Is(results[i].Err, want) {
			t.Errorf("key %d: %v, want %v", i, results[i].Err, want)
		}
	}
	if results[0].Value != answerOf("old") || results[1] != results[5] || results[5].Value != answerOf("fresh") {
		t.Errorf("the answers are %+v", results)
	}
	for _, key := range []string{"new", "newer"} {
		if got, ok, err := Stored[answer](t.Context(), db, keyOf(key)); !ok || err != nil || got != answerOf("fresh") {
			t.Errorf("%s: stored %v %v %v", key, got, ok, err)
		}
	}
}
