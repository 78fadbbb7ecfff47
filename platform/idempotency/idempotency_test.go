package idempotency

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/postgres"
)

// setup returns the databases of two modules on one server. A module of the tests owns one table, effects.
func setup(t *testing.T) (db, other *postgres.DB) {
	t.Helper()
	migrations := fstest.MapFS{"0001_effects.sql": {Data: []byte("-- +goose Up\nCREATE TABLE effects (id text PRIMARY KEY);")}}
	both := pgtest.New(t, pgtest.Schema{Module: "alpha", Migrations: migrations}, pgtest.Schema{Module: "beta", Migrations: migrations})
	return both.Module(t, "alpha"), both.Module(t, "beta")
}

// answer has the shape of an operation's output: status, a header and the body are what is stored.
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

// place is a use case: one row, and the answer, in one transaction.
func place(t *testing.T, db *postgres.DB, key Key, id string) (answer, error) {
	return doOne(t, db, key, func(tx pgx.Tx) (answer, error) {
		_, err := tx.Exec(t.Context(), "INSERT INTO effects (id) VALUES ($1)", id)
		return answerOf(id), err
	})
}

// doOne is DoTx for one key.
func doOne(t *testing.T, db *postgres.DB, key Key, effect func(tx pgx.Tx) (answer, error)) (answer, error) {
	var result postgres.Result[answer]
	err := db.InTx(t.Context(), func(tx pgx.Tx) error {
		results, err := DoTx(t.Context(), tx, []Key{key}, func(fresh []int) ([]answer, error) {
			if !cmp.Equal(fresh, []int{0}) {
				t.Errorf("the new ones of one key are %v", fresh)
			}
			a, err := effect(tx)
			return []answer{a}, err
		})
		if err == nil {
			result = results[0]
		}
		return err
	})
	if err != nil {
		return answer{}, err
	}
	return result.Value, result.Err
}

func effects(t *testing.T, db *postgres.DB) (n int) {
	t.Helper()
	if err := db.QueryRow(t.Context(), "SELECT count(*) FROM effects").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRepeatedRequestHasTheFirstAnswer(t *testing.T) {
	t.Parallel()
	db, _ := setup(t)
	if _, ok, err := Stored[answer](t.Context(), db, keyOf("k")); ok || err != nil {
		t.Fatalf("before the first request: %v %v", ok, err)
	}
	for _, id := range []string{"one", "two"} {
		got, err := place(t, db, keyOf("k"), id)
		if err != nil || !cmp.Equal(got, answerOf("one")) {
			t.Errorf("placing %s: %v %v", id, got, err)
		}
	}
	got, ok, err := Stored[answer](t.Context(), db, keyOf("k"))
	if err != nil || !ok || !cmp.Equal(got, answerOf("one")) {
		t.Errorf("stored: %v %v %v", got, ok, err)
	}
	if n := effects(t, db); n != 1 {
		t.Errorf("%d effects", n)
	}
}

func TestKeyOfAnotherRequest(t *testing.T) {
	t.Parallel()
	db, other := setup(t)
	if _, err := place(t, db, keyOf("k"), "one"); err != nil {
		t.Fatal(err)
	}
	reused := NewKey("ann", "POST /things", "k", order{"cup"})
	if _, _, err := Stored[answer](t.Context(), db, reused); !errors.Is(err, ErrReused) {
		t.Errorf("stored: %v", err)
	}
	if _, err := place(t, db, reused, "two"); !errors.Is(err, ErrReused) {
		t.Errorf("place: %v", err)
	}
	for id, key := range map[string]Key{
		"another key":    keyOf("k2"),
		"another caller": NewKey("bob", "POST /things", "k", order{"mug"}),
		"another route":  NewKey("ann", "POST /others", "k", order{"mug"}),
	} {
		if got, err := place(t, db, key, id); err != nil || got.Body.ID != id {
			t.Errorf("%s: %v %v", id, got, err)
		}
	}
	if got, err := place(t, other, keyOf("k"), "another module"); err != nil || got.Body.ID != "another module" {
		t.Errorf("another module: %v %v", got, err)
	}
}

func TestRunningKeyIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	db, other := setup(t)
	_, err := doOne(t, db, keyOf("k"), func(pgx.Tx) (answer, error) {
		if _, err := place(t, db, keyOf("k"), "two"); !errors.Is(err, ErrRunning) {
			t.Errorf("the same key: %v", err)
		}
		// The lock is one per module, key, caller and route.
		if _, err := place(t, db, NewKey("bob", "POST /things", "k", order{}), "bob's"); err != nil {
			t.Errorf("another caller's key: %v", err)
		}
		if _, err := place(t, other, keyOf("k"), "other"); err != nil {
			t.Errorf("another module's key: %v", err)
		}
		return answerOf("one"), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := place(t, db, keyOf("k"), "three"); err != nil || got.Body.ID != "one" {
		t.Errorf("afterwards: %v %v", got, err)
	}
}

func TestFailedEffectFreesTheKey(t *testing.T) {
	t.Parallel()
	db, _ := setup(t)
	failure := errors.New("no stock")
	_, err := doOne(t, db, keyOf("k"), func(pgx.Tx) (answer, error) { return answer{}, failure })
	if !errors.Is(err, failure) {
		t.Errorf("the effect's error became %v", err)
	}
	// Nor does an answer survive a transaction that fails later.
	err = db.InTx(t.Context(), func(tx pgx.Tx) error {
		_, err := DoTx(t.Context(), tx, []Key{keyOf("k")}, func([]int) ([]answer, error) { return []answer{answerOf("lost")}, nil })
		return errors.Join(err, failure)
	})
	if !errors.Is(err, failure) {
		t.Fatal(err)
	}
	if got, err := place(t, db, keyOf("k"), "one"); err != nil || got.Body.ID != "one" {
		t.Errorf("afterwards: %v %v", got, err)
	}
}

// Many at once: one effect, and everybody has its answer or is told to wait.
func TestStorm(t *testing.T) {
	t.Parallel()
	db, _ := setup(t)
	for range 20 {
		key := keyOf(uuid.NewString())
		before := effects(t, db)
		ids := make(chan string, 16)
		var group sync.WaitGroup
		for range cap(ids) {
			group.Go(func() {
				id := uuid.NewString()
				switch got, err := place(t, db, key, id); {
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
		if n := effects(t, db) - before; n != 1 || len(distinct) != 1 {
			t.Errorf("%d effects, %d answers", n, len(distinct))
		}
	}
}

func TestInvalidKeys(t *testing.T) {
	t.Parallel()
	db, _ := setup(t)
	for _, text := range []string{"", strings.Repeat("k", 256), "tab\t", "nul\x00", "é"} {
		key := keyOf(text)
		if _, _, err := Stored[answer](t.Context(), nil, key); !errors.Is(err, ErrKey) {
			t.Errorf("stored %q: %v", text, err)
		}
		if _, err := doOne(t, db, key, func(pgx.Tx) (answer, error) { panic("called") }); !errors.Is(err, ErrKey) {
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
	db, _ := setup(t)
	for _, key := range []string{"a", "b", "c", "new"} {
		if _, err := place(t, db, keyOf(key), key); err != nil {
			t.Fatal(err)
		}
	}
	_, err := db.Exec(t.Context(), "UPDATE idempotency_keys SET created_at = now() - interval '25 hours' WHERE key <> 'new'")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int64{2, 1, 0} {
		if n, err := prune(t.Context(), db, 24*time.Hour, 2); n != want || err != nil {
			t.Errorf("pruned %d (%v), want %d", n, err, want)
		}
	}
	if _, ok, err := Stored[answer](t.Context(), db, keyOf("new")); !ok || err != nil {
		t.Errorf("a young answer: %v %v", ok, err)
	}
}

// Every key of a call has a result of its own, and an effect if it is new.
func TestManyKeys(t *testing.T) {
	t.Parallel()
	db, _ := setup(t)
	if _, err := place(t, db, keyOf("stored"), "stored"); err != nil {
		t.Fatal(err)
	}
	_, err := doOne(t, db, keyOf("held"), func(pgx.Tx) (answer, error) {
		keys := []Key{
			keyOf("one"), keyOf("stored"), keyOf("two"), keyOf("one"), NewKey("ann", "POST /things", "stored", order{"cup"}),
			keyOf("held"), keyOf(""), NewKey("bob", "POST /things", "one", order{"mug"}), keyOf("stored"), NewKey("ann", "POST /things", "two", order{"cup"}),
		}
		want := []postgres.Result[answer]{
			{Value: answerOf("0")}, {Value: answerOf("stored")}, {Value: answerOf("2")}, {Err: ErrRunning}, {Err: ErrReused},
			{Err: ErrRunning}, {Err: ErrKey}, {Value: answerOf("7")}, {Value: answerOf("stored")}, {Err: ErrRunning},
		}
		err := db.InTx(t.Context(), func(tx pgx.Tx) error {
			results, err := DoTx(t.Context(), tx, keys, func(fresh []int) (answers []answer, err error) {
				if diff := cmp.Diff([]int{0, 2, 7}, fresh); diff != "" {
					t.Errorf("new: %s", diff)
				}
				for _, i := range fresh {
					answers = append(answers, answerOf(fmt.Sprint(i)))
				}
				return answers, nil
			})
			if diff := cmp.Diff(want, results, cmpopts.EquateErrors()); diff != "" {
				t.Error(diff)
			}
			return err
		})
		return answerOf("held"), err
	})
	if err != nil {
		t.Fatal(err)
	}
	for key, id := range map[string]string{"one": "0", "two": "2", "stored": "stored", "held": "held"} {
		if got, ok, err := Stored[answer](t.Context(), db, keyOf(key)); err != nil || !ok || got.Body.ID != id {
			t.Errorf("stored for %s: %v %v %v", key, got, ok, err)
		}
	}
	if got, _, err := Stored[answer](t.Context(), db, NewKey("bob", "POST /things", "one", order{"mug"})); err != nil || got.Body.ID != "7" {
		t.Errorf("stored for another caller: %v %v", got, err)
	}
}

// When none of the keys is new there is no effect, and when the transaction fails, none of them has an answer.
func TestManyKeysOfWhichNoneIsNew(t *testing.T) {
	t.Parallel()
	db, _ := setup(t)
	keys := []Key{keyOf("one"), keyOf("two")}
	do := func(effect func(fresh []int) ([]answer, error)) (results []postgres.Result[answer], err error) {
		err = db.InTx(t.Context(), func(tx pgx.Tx) error {
			results, err = DoTx(t.Context(), tx, keys, effect)
			return err
		})
		return results, err
	}
	failure := errors.New("no stock")
	if _, err := do(func([]int) ([]answer, error) { return nil, failure }); !errors.Is(err, failure) {
		t.Errorf("the effect's error became %v", err)
	}
	if _, err := do(func([]int) ([]answer, error) { return []answer{answerOf("1"), answerOf("2")}, nil }); err != nil {
		t.Fatal(err)
	}
	results, err := do(func(fresh []int) ([]answer, error) { t.Errorf("new again: %v", fresh); return nil, failure })
	if err != nil || len(results) != 2 || results[0].Value != answerOf("1") || results[1].Value != answerOf("2") {
		t.Errorf("again: %v %v", results, err)
	}
}
