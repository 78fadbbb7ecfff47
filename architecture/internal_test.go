package architecture

import (
	"slices"
	"testing"
)

// What a role besides service may call, or anybody, is not internal.
func TestInternal(t *testing.T) {
	t.Parallel()
	got, err := Internal([]byte(`{"paths": {
		"/v1/lamps/quotes/{id}": {"get": {"security": [{"bearer": ["service"]}]}, "post": {"security": [{"bearer": ["service"]}]}},
		"/v1/lamps/open": {"get": {}, "post": {"security": [{"bearer": ["service"]}]}},
		"/v1/lamps/stock": {"post": {"security": [{"bearer": ["service", "staff"]}]}},
		"/v1/lamps/none": {}}}`))
	if err != nil || !slices.Equal(got, []string{"/v1/lamps/quotes"}) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := Internal([]byte("none")); err == nil {
		t.Error("what is no document is read")
	}
}
