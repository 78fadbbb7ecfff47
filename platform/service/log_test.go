package service

import (
	"bytes"
	"encoding/json"
	"log"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.opentelemetry.io/otel"

	"example.com/shop/platform/process"
)

// A line that is no JSON is lost to what collects a process's log, and libraries write such lines
// by themselves.
func TestEveryLineIsStructured(t *testing.T) {
	const child = "TEST_WRITES_LINES"
	if os.Getenv(child) != "" {
		s := open(t.Context(), t, func(c *Config) {
			c.Log, c.Telemetry.Endpoint = process.Log{}, "http://"+freeAddr(t) // where nothing listens
		})
		_, span := otel.Tracer("test").Start(t.Context(), "work")
		span.End()
		log.Print("Unsolicited response received on idle HTTP channel") // as net/http does
		s.close()
		return
	}
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	command.Env = append(os.Environ(), child+"=1", "OTEL_EXPORTER_OTLP_HEADERS=no header",
		"OTEL_EXPORTER_OTLP_PROTOCOL=grpc")
	var written bytes.Buffer
	command.Stderr = &written
	if err := command.Run(); err != nil {
		t.Fatalf("%v: %s", err, written.String())
	}
	for line := range strings.Lines(written.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
	for _, part := range []string{"telemetry failed", "Unsolicited response", "parse headers", `"level":"WARN","msg":"grpc is not a valid protocol`} {
		if !strings.Contains(written.String(), part) {
			t.Errorf("%q is not in the log: %s", part, written.String())
		}
	}
}
