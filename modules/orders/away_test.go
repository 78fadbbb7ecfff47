package orders

import (
	"net/http"
	"testing"
)

// While the database is unavailable the response is 503, and a retry finds out whether a write was
// committed.
func TestTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	s := setup(t)
	path := "/" + s.order().String()
	s.Eventually("the order is published", "SELECT NOT EXISTS (SELECT FROM outbox_pending)")
	s.Plant("ALTER DATABASE " + s.Database.Name + " CONNECTION LIMIT 0") // which a superuser may exceed
	s.Plant("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename <> current_user")
	for range 3 { // on each of the pool's eight connections, which have just ended, and then without one
		for _, request := range [][]string{
			{"GET", "", "", ""}, {"GET", path, "", ""}, {"POST", "", twoTeasAndACup, "monday"}, {"POST", path + "/cancel", "", ""},
		} {
			status, header, answer := s.call("ada", request[0], request[1], request[2], request[3])
			if status != http.StatusServiceUnavailable || answer["type"] != "urn:shop:problem:database-unavailable" ||
				header.Get("Retry-After") != "1" {
				t.Errorf("%s %s: status %d, %v", request[0], request[1], status, answer)
			}
		}
	}
	s.Plant("ALTER DATABASE " + s.Database.Name + " CONNECTION LIMIT -1")
	if status, _, answer := s.call("ada", "POST", "", twoTeasAndACup, "monday"); status != http.StatusCreated {
		t.Errorf("the same again, once it is back: status %d, %v", status, answer)
	}
}
