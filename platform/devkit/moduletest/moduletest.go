// Package moduletest serves one module as its process does, for tests that use it through its
// routes and its events: with a database of its own, the bus in memory, and a clock that stands
// still. Of the other modules there are only the events.
//
//	s := moduletest.New(t, "parcels", parcelsmigrations.FS)
//	module := New(Config{}, s.DB, s.Outbox, s.Log, s.Now)
//	s.Start(module)
//	s.Given(paid) // an event of another module, which the module has handled now
//	answer := s.Call(moduletest.Request{Path: "/7", Role: "staff"})
//	topics := s.Published("7")
package moduletest

import (
	"context"
	"io/fs"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"example.com/shop/platform/devkit/output"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/devkit/tokens"
	"example.com/shop/platform/events"
	"example.com/shop/platform/postgres"
	"example.com/shop/platform/web"
)

// Module is a bounded context. It repeats the interface of platform/service, whose dependencies a
// module's tests do not need.
type Module interface {
	Routes(api huma.API)
	Publishes() []events.Event
	Handlers() []events.Handler
	Workers() []func(context.Context) error
}

// Stage is what surrounds a module. A test makes the module from its parts.
type Stage struct {
	Database *pgtest.DB
	DB       *postgres.DB // the module's, with its role
	Bus      *events.MemoryBus
	Outbox   *events.Outbox // the module's, which publishes once the stage is started
	Log      *slog.Logger
	Key      *tokens.Key
	Server   *httptest.Server // nil before Start

	t       *testing.T
	logged  output.Text
	began   time.Time
	ahead   atomic.Int64 // by how much the clock has been moved
	handled []string     // the topics that the module handles

	mu         sync.Mutex
	neighbours map[string]Neighbour
}

// delivery tries an event once, so that one which fails is a dead letter at once.
var delivery = events.Config{
	RelayBatch: 100, ConsumerBatch: 100, Poll: 100 * time.Millisecond, MaxAttempts: 1,
	RetryBase: time.Millisecond, RetryMax: time.Millisecond,
	OutboxRetention: time.Hour, InboxRetention: time.Hour, DeadRetention: time.Hour,
}

// New returns the stage of the module with this name. Nothing runs before Start.
func New(t *testing.T, name string, migrations fs.FS) *Stage {
	t.Helper()
	s := &Stage{t: t, Bus: events.NewMemoryBus(), neighbours: map[string]Neighbour{}}
	s.began = time.Now().UTC().Truncate(time.Microsecond) // as PostgreSQL stores it
	s.Log = slog.New(slog.NewTextHandler(&s.logged, nil))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log:\n%s", s.Logged())
		}
	})
	s.Database = pgtest.New(t, pgtest.Schema{Module: name, Migrations: migrations})
	s.DB = s.Database.Module(t, name)
	t.Cleanup(func() { _ = s.Bus.Close() })
	s.Outbox = events.NewOutbox(s.DB, s.Bus, delivery, s.Log)
	key, err := tokens.LoadOrCreate(filepath.Join(t.TempDir(), "key.pem"))
	s.must(err)
	s.Key = key
	return s
}

// Start serves the module, except for its workers: it handles events, its outbox publishes, and its
// routes answer. The handlers in more run beside the module's own.
func (s *Stage) Start(module Module, more ...events.Handler) {
	s.t.Helper()
	s.Outbox.Allow(module.Publishes())
	handlers := slices.Concat(module.Handlers(), more)
	consumer := events.NewConsumer(s.DB, subscriber{s.Bus, &s.handled}, handlers, delivery, s.Log)
	s.must(consumer.Subscribe(s.t.Context()))
	s.Run(consumer.Run)
	s.Run(s.Outbox.Run) // stops before the consumer, which it waits for
	verifier, err := web.NewVerifier(web.Auth{
		Issuer: tokens.Issuer, Audience: tokens.Audience, ServiceAudience: tokens.ServiceAudience, PublicKey: s.Key.PublicPEM(),
	})
	s.must(err)
	server := web.New(web.Config{}, verifier, s.Log, postgres.Transient)
	s.must(server.Mount(s.DB.Module, module.Routes))
	s.Server = httptest.NewServer(server.Handler())
	s.t.Cleanup(s.Server.Close)
}

// subscriber records the topics that are subscribed to.
type subscriber struct {
	*events.MemoryBus
	topics *[]string
}

func (s subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	*s.topics = append(*s.topics, topic)
	return s.MemoryBus.Subscribe(ctx, topic)
}

// Run runs loops until the test ends or stop is called, which waits for their end. What was started
// last stops first.
func (s *Stage) Run(loops ...func(context.Context) error) (stop func()) {
	return pgtest.Run(s.t, func(ctx context.Context) error {
		g, ctx := errgroup.WithContext(ctx)
		for _, loop := range loops {
			g.Go(func() error { return loop(ctx) })
		}
		return g.Wait()
	})
}

// Work runs the workers of the module, or of another process of it.
func (s *Stage) Work(module Module) (stop func()) { return s.Run(module.Workers()...) }

// RunOutbox returns an outbox of the database, which publishes until the test ends.
func (s *Stage) RunOutbox(db *postgres.DB) *events.Outbox {
	outbox := events.NewOutbox(db, s.Bus, delivery, s.Log)
	s.Run(outbox.Run)
	return outbox
}

// Now returns the time of the clock, which only Advance changes.
func (s *Stage) Now() time.Time { return s.began.Add(time.Duration(s.ahead.Load())) }

// Advance moves the clock.
func (s *Stage) Advance(d time.Duration) { s.ahead.Add(int64(d)) }

// Logged returns what was logged so far. A test that fails prints it.
func (s *Stage) Logged() string { return s.logged.String() }

// Exec runs the statement in the module's database.
func (s *Stage) Exec(statement string, args ...any) {
	s.t.Helper()
	_, err := s.DB.Exec(s.t.Context(), statement, args...)
	s.must(err)
}

// Plant runs the statement as the server's admin, as to let another one fail from now on.
func (s *Stage) Plant(statement string) {
	s.t.Helper()
	_, err := s.Database.Admin(s.t).Exec(s.t.Context(), statement)
	s.must(err)
}

// Count returns the number that the query selects in the module's database.
func (s *Stage) Count(query string, args ...any) (n int64) {
	s.t.Helper()
	s.must(s.DB.QueryRow(s.t.Context(), query, args...).Scan(&n))
	return n
}

// Is returns the truth value that the query selects in the module's database.
func (s *Stage) Is(query string, args ...any) (yes bool) {
	s.t.Helper()
	s.must(s.DB.QueryRow(s.t.Context(), query, args...).Scan(&yes))
	return yes
}

// Texts returns the texts that the query selects in the module's database.
func (s *Stage) Texts(query string, args ...any) (texts []string) {
	s.t.Helper()
	rows, err := s.DB.Query(s.t.Context(), query, args...)
	s.must(err)
	texts, err = pgx.AppendRows(texts, rows, pgx.RowTo[string])
	s.must(err)
	return texts
}

// Hold runs the statement in a transaction that keeps its locks until release or the test's end.
func (s *Stage) Hold(statement string, args ...any) (release func()) {
	s.t.Helper()
	tx, err := s.DB.Pool().Begin(s.t.Context())
	s.must(err)
	release = sync.OnceFunc(func() { _ = tx.Rollback(context.WithoutCancel(s.t.Context())) })
	s.t.Cleanup(release)
	_, err = tx.Exec(s.t.Context(), statement, args...)
	s.must(err)
	return release
}

// Waiting waits until so many transactions wait for a lock.
func (s *Stage) Waiting(transactions int) {
	s.t.Helper()
	s.Eventually("they wait for a lock", `SELECT count(*) = $1 FROM pg_stat_activity
		WHERE datname = current_database() AND wait_event_type = 'Lock'`, transactions)
}

// Eventually waits until the query selects true. The test fails after 20 seconds, and says what it
// has waited for.
func (s *Stage) Eventually(what, query string, args ...any) {
	s.t.Helper()
	pgtest.Until(s.t, what, func() bool { return s.Is(query, args...) })
}

func (s *Stage) must(err error) {
	if err != nil {
		s.t.Helper()
		s.t.Fatal(err)
	}
}
