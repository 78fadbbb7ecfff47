package postgres_test

import (
	"testing"

	"example.com/shop/platform/postgres"
)

// A role can hand no data to another through large objects, which belong to no schema.
func TestARoleMakesNoLargeObjects(t *testing.T) {
	t.Parallel()
	db := newMarks(t)
	marks := db.Module(t, "marks")
	for _, statement := range []string{
		"SELECT lo_from_bytea(0, 'secret')", "SELECT lo_create(0)", "SELECT lo_creat(-1)", "SELECT lo_get(1)", "SELECT lo_open(1, 262144)",
	} {
		if _, err := marks.Exec(t.Context(), statement); !postgres.HasCode(err, "42501") { // insufficient_privilege
			t.Errorf("%s: %v, want a refusal", statement, err)
		}
	}
}
