package pgserver

import (
	"os"
	"slices"
	"strings"
	"sync"
)

// libpq are the environment variables that select a PostgreSQL server. pgx reads them all, whatever
// the URL says, and PGSSL… and PGGSS… besides.
var libpq = []string{
	"PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGPASSFILE", "PGSERVICE",
	"PGSERVICEFILE", "PGSYSCONFDIR", "PGOPTIONS", "PGAPPNAME", "PGCONNECT_TIMEOUT", "PGTZ", "PGDATESTYLE", "PGGEQO",
	"PGCLIENTENCODING", "PGTARGETSESSIONATTRS", "PGLOADBALANCEHOSTS", "PGREQUIREAUTH", "PGREQUIREPEER",
	"PGCHANNELBINDING", "PGKRBSRVNAME", "PGMINPROTOCOLVERSION", "PGMAXPROTOCOLVERSION",
}

// IgnoreShell removes variables for other servers from the environment of this process.
var IgnoreShell = sync.OnceFunc(func() {
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if slices.Contains(libpq, name) || strings.HasPrefix(name, "PGSSL") || strings.HasPrefix(name, "PGGSS") {
			_ = os.Unsetenv(name) // it cannot fail for a name that exists
		}
	}
})
