package service

import (
	"errors"
	"strings"
	"testing"

	"example.com/shop/platform/devkit/eventtest"
	"example.com/shop/platform/devkit/pgtest"
	"example.com/shop/platform/process"
)

// A process whose side has no share does not start beside another one, and starts once that has
// stopped. Its side is SIDE, or the program's name.
func TestASecondSideNeedsAShare(t *testing.T) {
	if err := pgtest.Start(); err != nil {
		t.Fatal(err)
	}
	schema := eventtest.Schema
	db := pgtest.New(t, pgtest.Schema{Module: "parcels", Migrations: schema})
	first := open(t.Context(), t, func(*Config) {})
	defer first.close()
	first.serves = []string{"parcels"}
	opened, err := first.database(t.Context(), "parcels", db.URL("parcels"), schema)
	if err != nil || opened.Side.Name() != "test" {
		t.Fatalf("got %+v, %v", opened, err)
	}
	second := open(t.Context(), t, func(c *Config) { c.Side = "parcels" })
	defer second.close()
	second.serves = first.serves
	_, err = second.database(t.Context(), "parcels", db.URL("parcels"), schema)
	if !errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), "SIDE is parcels") {
		t.Errorf("beside another side: %v", err)
	}
	first.close()
	pgtest.Until(t, "the other one is silent", func() bool {
		_, err = second.database(t.Context(), "parcels", db.URL("parcels"), schema)
		return err == nil
	})
}
