package web

import (
	"errors"
	"strings"
	"testing"

	"example.com/shop/platform/process"
)

func TestBaseURL(t *testing.T) {
	type config struct {
		There BaseURL `env:"WEB_TEST_URL" envDefault:"http://127.0.0.1:8080"`
	}
	for _, good := range []string{"", "http://127.0.0.1:8080", "https://inventory.example/shop/", "http://[::1]:8080", "http://inventory:65535"} {
		t.Setenv("WEB_TEST_URL", good)
		if cfg, err := process.Config[config](); err != nil || cfg.There == "" {
			t.Errorf("%q: %v %v", good, cfg, err)
		}
	}
	for _, bad := range []string{
		"localhost:8080", "127.0.0.1:8080", "//inventory:8080", "http://", "ftp://inventory", "inventory", "http://ada:secret@inventory",
		"http://inventory?token=secret", "http://inventory#secret", "http://[::1", "http://inventory:port",
		"http://inventory?", "http://inventory#", "http://inventory:8080/?", "http://:8080", "http://inventory:99999", "http://inventory:0",
	} {
		t.Setenv("WEB_TEST_URL", bad)
		_, err := process.Config[config]()
		if !errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), "WEB_TEST_URL") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
