package moduletest

import (
	"strings"

	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
)

// Neighbour is another module as far as its events go. Its outbox is in the tables of the module
// under test.
type Neighbour struct {
	DB     *postgres.DB
	Outbox *events.Outbox
}

// Neighbour returns the other module with this name, whose outbox runs from then on.
func (s *Stage) Neighbour(module string) Neighbour {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, known := s.neighbours[module]
	if !known {
		n.DB = postgres.NewDB(module, s.DB.Pool())
		n.Outbox = s.RunOutbox(n.DB)
		s.neighbours[module] = n
	}
	return n
}

// Publish publishes events of another module, the one that their topics begin with, in one
// transaction.
func (s *Stage) Publish(published ...events.Event) {
	s.t.Helper()
	module, _, _ := strings.Cut(published[0].Topic(), ".")
	n := s.Neighbour(module)
	s.must(n.DB.InTx(s.t.Context(), func(tx pgx.Tx) error {
		for _, e := range published {
			if err := n.Outbox.PublishTx(s.t.Context(), tx, e); err != nil {
				return err
			}
		}
		return nil
	}))
}

// Given publishes events of other modules, each when the one before was handled, and returns when
// all were. The test fails if one of them cannot be handled.
func (s *Stage) Given(happened ...events.Event) {
	s.t.Helper()
	for _, e := range happened {
		s.Publish(e)
		s.Settle()
	}
	if n := s.Count("SELECT count(*) FROM failed"); n > 0 {
		s.t.Fatalf("%d events failed", n)
	}
}

// Settle waits until every event that the module handles is in its inbox, or is a dead letter. That
// is when its effects are committed, a tenth of a second before outbox_pending is empty.
func (s *Stage) Settle() {
	s.t.Helper()
	s.Eventually("every event is handled", `SELECT NOT EXISTS (
		SELECT FROM outbox WHERE topic = ANY ($1) AND id NOT IN (
			SELECT event_id FROM inbox UNION ALL SELECT event_id FROM failed WHERE dead_at IS NOT NULL))`, s.handled)
}

// Published returns the topics that the module has published about the aggregate, in order.
func (s *Stage) Published(key string) (topics []string) {
	s.t.Helper()
	return s.Texts("SELECT topic FROM outbox WHERE key = $1 AND topic LIKE $2 ORDER BY id", key, s.DB.Module+".%")
}
