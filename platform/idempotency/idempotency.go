// Package idempotency answers a repeated request with the answer of the first (Idempotency-Key,
// IETF draft). The answer is written in the transaction of the effect, into the module's schema, so
// that neither is ever stored without the other.
//
//	work before DoTx, such as a query ──fails──▶ Stored ──found──▶ the same answer
//	   │ succeeds                                   └──not found──▶ that failure
//	DoTx: try the keys' locks ──held──▶ ErrRunning, without waiting
//	   │ held until commit
//	look for answers ──found──▶ the same answer
//	   │ not found
//	effect, insert the answer, commit
package idempotency

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/postgres"
	"example.com/shop/platform/web"
)

// Errors that web answers with 409 and 422.
var (
	ErrRunning = &web.RefusalError{Status: http.StatusConflict, Kind: "request-running",
		Detail: "A request with this Idempotency-Key is still running. Send it again in a moment to learn its answer."}
	ErrReused = &web.RefusalError{Status: http.StatusUnprocessableEntity, Kind: "idempotency-key-reused",
		Detail: "This Idempotency-Key was used for another request. Make a new key for a new request."}
)

// Header is embedded in the input of an operation that needs a key; without one it answers 400.
type Header struct {
	IdempotencyKey string `header:"Idempotency-Key" required:"true" minLength:"1" maxLength:"255" pattern:"^[ -~]*$" patternDescription:"printable ASCII" doc:"A new unique value for each new request, the same for a repetition."`
}

// Key identifies one request of one caller.
type Key struct {
	scope, key string
	hash       []byte
}

// NewKey returns the key of one caller's request to a route, such as "POST /v1/lamps": two callers
// may choose the same key. Requests are compared by their JSON, so a new optional field needs
// omitempty, or the keys in use during a deployment would look reused. It panics if the request, an
// operation's body, has none.
func NewKey(subject, route, key string, request any) Key {
	text, err := json.Marshal(request)
	if err != nil {
		panic(fmt.Errorf("hash request: %w", err))
	}
	hash := sha256.Sum256(text)
	return Key{scope: scopeOf(subject, route), key: key, hash: hash[:]}
}

func scopeOf(subject, route string) string { return route + "\n" + subject }

// ForgetTx deletes the answers to the caller's requests to a route.
func ForgetTx(tx pgx.Tx, subject, route string) {
	postgres.QueueSQL(tx, "DELETE FROM idempotency_keys WHERE scope = $1", scopeOf(subject, route))
}

// Stored returns the answer that was already given, if any. Call it when work before DoTx fails, so
// that a repetition succeeds even while what it once needed is down.
func Stored[T any](ctx context.Context, db *postgres.DB, key Key) (answer T, ok bool, err error) {
	var stored row
	err = db.QueryRow(ctx, `SELECT request_hash, answer FROM idempotency_keys WHERE scope = $1 AND key = $2`,
		key.scope, key.key).Scan(&stored.hash, &stored.answer)
	if errors.Is(err, pgx.ErrNoRows) {
		return answer, false, nil
	}
	if err != nil {
		return answer, false, fmt.Errorf("read stored answer: %w", err)
	}
	answer, err = decode[T](stored, key)
	return answer, err == nil, err
}

// DoTx runs effect once with the indexes of the keys that are new, and stores the answers that it
// returns in the same transaction. For every other key it returns the stored answer, or ErrRunning
// or ErrReused. A key for which effect returns an error had no effect, and may be used again. After
// an error of effect as a whole nothing is stored: the caller rolls back, and may try again.
func DoTx[T any](
	ctx context.Context, tx pgx.Tx, keys []Key, effect func(fresh []int) ([]postgres.Result[T], error),
) ([]postgres.Result[T], error) {
	results := make([]postgres.Result[T], len(keys))
	stored, err := lockTx(ctx, tx, keys)
	if err != nil {
		return nil, err
	}
	var fresh []int
	taken := map[[2]string]bool{} // PostgreSQL grants a transaction the same lock twice
	for i, k := range keys {
		id := [2]string{k.scope, k.key}
		switch {
		case stored[i].answer != nil:
			results[i].Value, results[i].Err = decode[T](stored[i], k)
		case !stored[i].locked || taken[id]:
			results[i].Err = ErrRunning
		default:
			taken[id] = true
			fresh = append(fresh, i)
		}
	}
	if len(fresh) == 0 {
		return results, nil
	}
	answers, err := effect(fresh)
	if err != nil {
		return nil, err
	}
	var scopes, names []string
	var hashes, texts [][]byte
	for n, i := range fresh {
		results[i] = answers[n]
		if answers[n].Err != nil {
			continue
		}
		text, err := json.Marshal(answers[n].Value)
		if err != nil {
			return nil, fmt.Errorf("encode answer: %w", err)
		}
		scopes, names = append(scopes, keys[i].scope), append(names, keys[i].key)
		hashes, texts = append(hashes, keys[i].hash), append(texts, text)
	}
	if len(names) == 0 {
		return results, nil
	}
	postgres.QueueSQL(tx, `-- name: StoreAnswers
		INSERT INTO idempotency_keys (scope, key, request_hash, answer)
		SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[])`, scopes, names, hashes, texts)
	return results, nil
}

// row is the state of a key: whether this transaction holds its lock, and its answer, if any.
type row struct {
	locked       bool
	hash, answer []byte
}

// lockTx tries the keys' locks and reads their rows: in one round trip, but two statements, because
// in READ COMMITTED the second has a snapshot of its own, and a holder's row is visible before its
// lock is free. The prefix and the schema keep these locks apart from all others of the database.
func lockTx(ctx context.Context, tx pgx.Tx, keys []Key) ([]row, error) {
	scopes, names := make([]string, len(keys)), make([]string, len(keys))
	for i, k := range keys {
		scopes[i], names[i] = k.scope, k.key
	}
	found := make([]row, len(keys))
	batch := &pgx.Batch{}
	batch.Queue(`SELECT pg_try_advisory_xact_lock(hashtextextended(
			concat_ws(E'\n', 'idempotency', current_schema(), k.scope, k.key), 0))
		FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (scope, key, n) ORDER BY k.n`, scopes, names).
		Query(func(rows pgx.Rows) error {
			locked, err := pgx.CollectRows(rows, pgx.RowTo[bool])
			for i := range locked {
				found[i].locked = locked[i]
			}
			return err
		})
	batch.Queue(`SELECT k.n, i.request_hash, i.answer
		FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (scope, key, n), LATERAL (
			SELECT request_hash, answer FROM idempotency_keys WHERE scope = k.scope AND key = k.key LIMIT 1) AS i`,
		scopes, names).
		Query(func(rows pgx.Rows) error {
			var n int
			var hash, answer []byte
			_, err := pgx.ForEachRow(rows, []any{&n, &hash, &answer}, func() error {
				found[n-1].hash, found[n-1].answer = hash, answer
				return nil
			})
			return err
		})
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return nil, fmt.Errorf("lock idempotency keys: %w", err)
	}
	return found, nil
}

func decode[T any](stored row, key Key) (answer T, err error) {
	if string(stored.hash) != string(key.hash) {
		return answer, ErrReused
	}
	if err := json.Unmarshal(stored.answer, &answer); err != nil {
		return answer, fmt.Errorf("decode stored answer: %w", err)
	}
	return answer, nil
}
