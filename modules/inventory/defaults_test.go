package inventory

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// The module does not depend on the database's defaults for transactions: each of many concurrent
// restocks counts.
func TestTheDatabasesDefaultsDoNotMatter(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]string{
		"isolation": "default_transaction_isolation = 'repeatable read'",
		"read only": "default_transaction_read_only = on",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setup(t)
			admin, err := pgx.Connect(t.Context(), s.Database.AdminURL())
			if err != nil {
				t.Fatal(err)
			}
			defer admin.Close(context.WithoutCancel(t.Context()))
			database := pgx.Identifier{admin.Config().Database}.Sanitize()
			if _, err := admin.Exec(t.Context(), "ALTER DATABASE "+database+" SET "+set); err != nil {
				t.Fatal(err)
			}
			s.DB.Reset() // sessions have the defaults that they began with
			const restocks = 80
			refused := make(chan string, restocks)
			var all sync.WaitGroup
			for i := range restocks {
				all.Go(func() {
					key := fmt.Sprint("restock-", i)
					status, body := s.call("staff", "POST", "/products/tea-gyokuro/restock", `{"quantity":1}`, key)
					if status != http.StatusOK {
						refused <- fmt.Sprintf("%d %s", status, body)
					}
				})
			}
			all.Wait()
			if n := len(refused); n > 0 {
				t.Errorf("%d of %d restocks are refused, the first with %s", n, restocks, <-refused)
			}
			if n := s.Count("SELECT restocked FROM stock WHERE sku = 'tea-gyokuro'"); n != restocks {
				t.Errorf("restocked %d, want %d", n, restocks)
			}
		})
	}
}
