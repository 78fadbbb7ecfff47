package orders

import (
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// While the database is unavailable the response is 503, and a retry finds out whether a write was
// committed.
func TestTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	s := setup(t)
	path := "/" + s.order().String()
	s.Eventually("the order is published", "SELECT NOT EXISTS (SELECT FROM outbox_pending)")
	server, err := pgx.ParseConfig(s.Database.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	server.Database = "postgres" // from where another one can be closed
	admin, err := pgx.ConnectConfig(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := admin.Exec(t.Context(), sql, args...); err != nil {
			t.Fatal(err)
		}
	}

	exec("ALTER DATABASE " + s.Database.Name + " ALLOW_CONNECTIONS false")
	exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", s.Database.Name)
	for range 2 { // on a connection that has just ended, and without one
		for _, request := range [][]string{
			{"GET", "", "", ""}, {"GET", path, "", ""}, {"POST", "", twoTeasAndACup, "monday"}, {"POST", path + "/cancel", "", ""},
		} {
			status, header, problem := s.call("ada", request[0], request[1], request[2], request[3])
			if status != http.StatusServiceUnavailable || !strings.HasSuffix(problem["type"].(string), ":database-unavailable") ||
				header.Get("Retry-After") != "1" {
				t.Errorf("%s %s: status %d, %v", request[0], request[1], status, problem["type"])
			}
		}
	}
	exec("ALTER DATABASE " + s.Database.Name + " ALLOW_CONNECTIONS true")
	if status, _, answer := s.call("ada", "POST", "", twoTeasAndACup, "monday"); status != http.StatusCreated {
		t.Errorf("the same again, once it is back: status %d, %v", status, answer)
	}
}
