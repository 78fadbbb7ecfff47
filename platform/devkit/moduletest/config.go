package moduletest

import (
	"strings"
	"testing"

	"example.com/shop/platform/process"
)

// Config fails unless a module's defaults are valid, and each of these changes makes Validate
// return an error that begins with the setting's name and does not quote a value with the word
// secret.
func Config[C interface{ Validate() error }](t *testing.T, spoiled map[string][]func(*C)) {
	t.Helper()
	usual, err := process.Config[C]()
	if err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	for setting, changes := range spoiled {
		for n, change := range changes {
			cfg := usual
			change(&cfg)
			err := cfg.Validate()
			if err == nil || !strings.HasPrefix(err.Error(), setting+" ") || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s, change %d: %v", setting, n, err)
			}
		}
	}
}
