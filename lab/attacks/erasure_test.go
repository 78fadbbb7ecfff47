package attacks

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"example.com/shop/platform/devkit/pgtest"
)

// naming returns the tables, of all schemas, that have the text in any column of a row.
func naming(t *testing.T, conn *pgx.Conn, text string) (tables []string) {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
		WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(all) < 40 {
		t.Fatalf("%d tables (%v): the search is broken", len(all), err)
	}
	for _, table := range all {
		var found bool
		// A bytea is searched as the text that it is.
		err := conn.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM `+table+` AS t, jsonb_each_text(to_jsonb(t)) AS c
			WHERE CASE WHEN c.value LIKE '\x%' AND length(c.value) % 2 = 0 AND substr(c.value, 3) ~ '^[0-9a-f]*$'
				THEN encode(decode(substr(c.value, 3), 'hex'), 'escape') ELSE c.value END LIKE '%' || $1 || '%')`, text).Scan(&found)
		if err != nil {
			t.Fatal(table, err)
		}
		if found {
			tables = append(tables, table)
		}
	}
	return tables
}

// Staff erases a customer with seam erase: two minutes later no table of any module names them,
// whatever was replayed. Another customer's orders are as they were. Who erased is in the audit.
func TestACustomerIsErased(t *testing.T) {
	s := theShop(t)
	conn := connect(t, s.AdminURL)
	customer, twin := "quoll"+uuid.NewString()[:8], "numbat"+uuid.NewString()[:8]
	var ids []string
	for _, who := range []string{customer, customer, twin} {
		ids = append(ids, confirms(t, s, who))
	}
	mailed := func(id string) bool {
		_, answer := send(t, http.MethodGet, s.URL+"/v1/notifications?order_id="+id, token(s, "staff", "grace"), "")
		return strings.Contains(answer, `"status":"sent"`)
	}
	for _, id := range ids {
		pgtest.Until(t, "it is mailed", func() bool { return mailed(id) })
	}
	before := naming(t, conn, twin)
	if found := naming(t, conn, customer); len(found) < 5 || len(before) < 5 {
		t.Fatalf("only %v name the customer before, and %v the twin: the search is broken", found, before)
	}

	for _, want := range []string{"/v1/orders/erasures\t2 erased\n", "/v1/orders/erasures\t0 erased\n"} {
		if printed, said, err := seam(t, s, "erase", "--customer", customer); err != nil || printed != want {
			t.Fatalf("it printed %q and said %q, want %q: %v", printed, said, want, err)
		}
	}
	if printed, said, err := seam(t, s, "events", "replay", "--since", "1h"); err != nil {
		t.Error(printed, said, err)
	}
	left := []string{"everything"}
	for deadline := time.Now().Add(2 * time.Minute); len(left) > 0; time.Sleep(time.Second) {
		if time.Now().After(deadline) {
			t.Fatalf("%v still name the customer", left)
		}
		left = naming(t, conn, customer)
	}
	if after := naming(t, conn, twin); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("%v name the twin, and %v did before", after, before)
	}
	if status, answer := send(t, http.MethodGet, s.URL+"/v1/orders/"+ids[2], token(s, "customer", twin), ""); status != http.StatusOK {
		t.Errorf("the twin's order: %d, %s", status, answer)
	}
	var total, payments int64
	err := conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM orders.orders WHERE id = ANY ($1::uuid[]) AND total > 0),
		(SELECT count(*) FROM payments.payments WHERE order_id = ANY ($1::uuid[]) AND amount > 0)`, ids).Scan(&total, &payments)
	if err != nil || total != 3 || payments != 3 {
		t.Errorf("%d orders and %d payments are left for the books, want 3 and 3: %v", total, payments, err)
	}
	if actions := audited(t, s, "orders", "staff:grace POST /v1/orders/erasures"); len(actions) != 1 {
		t.Errorf("the audit has %+v, want one that changed something", actions)
	}
}
