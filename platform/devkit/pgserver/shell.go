package pgserver

import (
	"os"
	"slices"
	"strings"
	"sync"
)

// libpq are the variables that say which PostgreSQL a shell means, and how to reach it.
// pgx reads them all, whatever an address says, and PGSSL… and PGGSS… besides.
var libpq = []string{
	"PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGPASSFILE", "PGSERVICE",
	"PGSERVICEFILE", "PGSYSCONFDIR", "PGOPTIONS", "PGAPPNAME", "PGCONNECT_TIMEOUT", "PGTZ", "PGDATESTYLE", "PGGEQO",
	"PGCLIENTENCODING", "PGTARGETSESSIONATTRS", "PGLOADBALANCEHOSTS", "PGREQUIREAUTH", "PGREQUIREPEER",
	"PGCHANNELBINDING", "PGKRBSRVNAME", "PGMINPROTOCOLVERSION", "PGMAXPROTOCOLVERSION",
}

// IgnoreShell removes from this process's environment, and so from its children's, what is meant
// for other servers than our own.
var IgnoreShell = sync.OnceFunc(func() {
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if slices.Contains(libpq, name) || strings.HasPrefix(name, "PGSSL") || strings.HasPrefix(name, "PGGSS") {
			_ = os.Unsetenv(name) // which it was read from: it cannot fail
		}
	}
})
