// Package idempotency answers a repeated request with the answer of the first (Idempotency-Key, IETF draft). The
// answer is written in the transaction of the effect, into the module's own schema: there is never an effect
// without its answer, nor an answer without its effect, and both move together.
//
//	what comes before, such as a quote ──fails──▶ Stored ──found──▶ the same answer
//	   │ done                                        └──not found──▶ that failure
//	DoTx: try the keys' locks ──taken──▶ ErrRunning, at once
//	   │ ours until commit
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
	"regexp"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/postgres"
)

// What a caller has to know; an operation maps them to 400, 409 and 422.
var (
	ErrKey     = errors.New("idempotency key is not 1 to 255 printable characters")
	ErrRunning = errors.New("a request with this idempotency key is still running")
	ErrReused  = errors.New("idempotency key was used for another request")
)

// Header is embedded in the input of an operation that needs a key. A missing or invalid one is answered with 400.
type Header struct {
	IdempotencyKey string `header:"Idempotency-Key" required:"true" minLength:"1" maxLength:"255" pattern:"^[ -~]*$" patternDescription:"printable ASCII" doc:"A new unique value for each new request, the same for a repetition."`
}

var printable = regexp.MustCompile(`^[ -~]{1,255}$`)

// Key identifies one request of one caller.
type Key struct {
	scope, key string
	hash       []byte
	err        error
}

// NewKey scopes a key by who asks and by route, such as "POST /v1/orders": two callers may choose the same key. The
// request is compared by its JSON, so a new optional field needs omitempty, or the keys in use during a deployment
// would look reused.
func NewKey(subject, route, key string, request any) Key {
	if !printable.MatchString(key) {
		return Key{err: ErrKey}
	}
	text, err := json.Marshal(request)
	if err != nil {
		return Key{err: fmt.Errorf("hash request: %w", err)}
	}
	hash := sha256.Sum256(text)
	return Key{scope: route + "\n" + subject, key: key, hash: hash[:]}
}

// Stored returns the answer that was already given. It is asked when something fails that comes before DoTx, so that a
// repetition succeeds even while what it once needed is down.
func Stored[T any](ctx context.Context, db *postgres.DB, key Key) (answer T, ok bool, err error) {
	if key.err != nil {
		return answer, false, key.err
	}
	var stored row
	err = db.QueryRow(ctx, `SELECT request_hash, answer FROM idempotency_keys WHERE scope = $1 AND key = $2`, key.scope, key.key).
		Scan(&stored.hash, &stored.answer)
	if errors.Is(err, pgx.ErrNoRows) {
		return answer, false, nil
	}
	if err != nil {
		return answer, false, fmt.Errorf("read stored answer: %w", err)
	}
	answer, err = decode[T](stored, key)
	return answer, err == nil, err
}

// DoTx runs effect once for those of the keys that are new, which it is given as indexes, and
// stores its answers in the same transaction. The result of every other key is the answer that is
// stored already, or why there is none. An error of effect stores nothing: the caller rolls back
// and the keys may be tried again.
func DoTx[T any](ctx context.Context, tx pgx.Tx, keys []Key, effect func(fresh []int) ([]T, error)) ([]postgres.Result[T], error) {
	results := make([]postgres.Result[T], len(keys))
	stored, err := lockTx(ctx, tx, keys)
	if err != nil {
		return nil, err
	}
	var fresh []int
	taken := map[[2]string]bool{} // a lock that this transaction has already would be given again
	for i, k := range keys {
		id := [2]string{k.scope, k.key}
		switch {
		case k.err != nil:
			results[i].Err = k.err
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
		results[i].Value = answers[n]
		text, err := json.Marshal(answers[n])
		if err != nil {
			return nil, fmt.Errorf("encode answer: %w", err)
		}
		scopes, names = append(scopes, keys[i].scope), append(names, keys[i].key)
		hashes, texts = append(hashes, keys[i].hash), append(texts, text)
	}
	postgres.QueueSQL(tx, `-- name: StoreAnswers
		INSERT INTO idempotency_keys (scope, key, request_hash, answer)
		SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[])`, scopes, names, hashes, texts)
	return results, nil
}

// row is what is known of a key: whether its lock is ours, and its answer, if there is one.
type row struct {
	locked       bool
	hash, answer []byte
}

// lockTx tries the keys' locks and reads their rows: one round trip, but two statements, because in
// READ COMMITTED the second has a snapshot of its own, and a holder's row is visible before its
// lock is free. The text keeps these locks apart from all others in the database, because advisory
// locks know no schema.
func lockTx(ctx context.Context, tx pgx.Tx, keys []Key) ([]row, error) {
	scopes, names := make([]string, len(keys)), make([]string, len(keys))
	for i, k := range keys {
		scopes[i], names[i] = k.scope, k.key
	}
	found := make([]row, len(keys))
	batch := &pgx.Batch{}
	batch.Queue(`SELECT pg_try_advisory_xact_lock(hashtextextended(concat_ws(E'\n', 'idempotency', current_schema(), k.scope, k.key), 0))
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
