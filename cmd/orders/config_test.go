package main

import (
	"errors"
	"strings"
	"testing"

	"example.com/shop/platform/process"
)

// Without a token it would start, become ready, and refuse every order.
func TestConfigNeedsAToken(t *testing.T) {
	t.Setenv("SERVICE_TOKEN", "")
	if _, err := process.Config[config](); !errors.Is(err, process.ErrUsage) || !strings.Contains(err.Error(), "SERVICE_TOKEN") {
		t.Errorf("got %v", err)
	}
	t.Setenv("SERVICE_TOKEN", "token")
	if _, err := process.Config[config](); err != nil {
		t.Error(err)
	}
}
