// Package idempotency answers a repeated request with the answer of the first (Idempotency-Key, IETF draft). The
// answer is written in the transaction of the effect, into the module's own schema: there is never an effect
// without its answer, nor an answer without its effect, and both move together.
//
//	Stored ──found──▶ the same answer           no lock, no quote, no transaction
//	   │ not found
//	DoTx: try the key's lock ──taken──▶ ErrRunning, at once
//	   │ ours until commit
//	look again ──found──▶ the same answer       another committed between Stored and the lock
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
	"github.com/jackc/pgx/v5/pgxpool"

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

const selectAnswer = `SELECT request_hash, answer FROM idempotency_keys WHERE scope = $1 AND key = $2`

// Stored returns the answer that was already given. It is asked before anything expensive or external, so that a
// repetition succeeds even while what it once needed is down.
func Stored[T any](ctx context.Context, pool *pgxpool.Pool, key Key) (answer T, ok bool, err error) {
	if key.err != nil {
		return answer, false, key.err
	}
	return decode[T](pool.QueryRow(ctx, selectAnswer, key.scope, key.key), key)
}

// DoTx runs effect once for the key and stores its answer in the same transaction. An error of effect stores
// nothing: the caller rolls back and the key may be tried again.
func DoTx[T any](ctx context.Context, tx pgx.Tx, key Key, effect func() (T, error)) (answer T, err error) {
	if key.err != nil {
		return answer, key.err
	}
	// One round trip, but two statements: in READ COMMITTED the second has a snapshot of its own, and a holder's row is
	// visible before its lock is free. The text keeps these locks apart from all others in the database, because
	// advisory locks know no schema.
	batch := &pgx.Batch{}
	batch.Queue(`SELECT pg_try_advisory_xact_lock(hashtextextended(concat_ws(E'\n', 'idempotency', current_schema(), $1::text, $2::text), 0))`, key.scope, key.key)
	batch.Queue(selectAnswer, key.scope, key.key)
	results := tx.SendBatch(ctx, batch)
	var locked bool
	lockErr := results.QueryRow().Scan(&locked)
	answer, stored, storedErr := decode[T](results.QueryRow(), key)
	switch err := errors.Join(lockErr, results.Close()); {
	case err != nil:
		return answer, fmt.Errorf("lock idempotency key: %w", err)
	case stored || storedErr != nil:
		return answer, storedErr
	case !locked:
		return answer, ErrRunning
	}

	if answer, err = effect(); err != nil {
		return answer, err
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return answer, fmt.Errorf("encode answer: %w", err)
	}
	_, err = postgres.Later(tx).Exec(ctx, `INSERT INTO idempotency_keys (scope, key, request_hash, answer) VALUES ($1, $2, $3, $4)`, key.scope, key.key, key.hash, text)
	if err != nil {
		return answer, fmt.Errorf("store answer: %w", err)
	}
	return answer, nil
}

func decode[T any](row pgx.Row, key Key) (answer T, ok bool, err error) {
	var hash, text []byte
	switch err := row.Scan(&hash, &text); {
	case errors.Is(err, pgx.ErrNoRows):
		return answer, false, nil
	case err != nil:
		return answer, false, fmt.Errorf("read stored answer: %w", err)
	case string(hash) != string(key.hash):
		return answer, false, ErrReused
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return answer, false, fmt.Errorf("decode stored answer: %w", err)
	}
	return answer, true, nil
}
