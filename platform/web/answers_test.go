package web

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// A caller's requests are found by a hash that nobody can make of the subject without the key, with
// the address that the connection has, whatever a header says.
func TestAccessLogOfACaller(t *testing.T) {
	t.Parallel()
	var hashes []any
	for _, key := range []string{"one", "one", "two", "", ""} {
		b := newBench(t, Config{LogKey: key})
		for target, role := range map[string]string{"/v1/things/who": "customer", "/v1/things/staff": "customer"} { // which is refused
			b.log.Reset()
			b.send(t, http.MethodGet, target, "", "Authorization", b.bearer(role), "X-Forwarded-For", "198.51.100.7")
			var entry map[string]any
			if err := json.Unmarshal(b.log.Bytes(), &entry); err != nil || strings.Contains(b.log.String(), "ann") {
				t.Fatalf("%v: %s", err, b.log)
			}
			hash, _ := entry["subject_hash"].(string)
			if entry["role"] != role || len(hash) != 16 || entry["client"] != "192.0.2.1" {
				t.Errorf("a caller is logged as %v", entry)
			}
			if len(hashes) == 0 || hashes[len(hashes)-1] != hash {
				hashes = append(hashes, hash)
			}
		}
	}
	if len(hashes) != 4 {
		t.Errorf("the hashes by the keys one, one, two and two unknown ones are %v", hashes)
	}
}

// A browser does not guess what an answer is, and keeps none that is a caller's own.
func TestAnswersSayHowTheyAreKept(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{})
	for target, want := range map[string]string{
		"/v1/things": "", "/v1/nothing": "", "/v1/things/panic": "", "/v1/things/docs/": "",
		"/v1/things/who": "no-store", "/v1/things/staff": "no-store", // which is refused
	} {
		for _, authorization := range []string{b.bearer("customer"), ""} {
			a := b.send(t, http.MethodGet, target, "", "Authorization", authorization)
			if a.Header.Get("X-Content-Type-Options") != "nosniff" || a.Header.Get("Cache-Control") != want {
				t.Errorf("%s: %d with %v", target, a.StatusCode, a.Header)
			}
		}
	}
}

func TestAccessLog(t *testing.T) {
	b := newBench(t, Config{})
	line := func(target string, headers ...string) (entry map[string]any) {
		b.log.Reset()
		b.send(t, http.MethodGet, target, "", headers...)
		text := b.log.String()
		if strings.Contains(text, secret) || strings.Contains(text, "forged") {
			t.Errorf("the log has input in it: %s", text)
		}
		if err := json.Unmarshal([]byte(text), &entry); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		return entry
	}
	traceparent := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	entry := line("/v1/things?limit=2&cursor="+secret, "Traceparent", traceparent, "X-Request-Id", "a b\nforged")
	for key, want := range map[string]any{"method": "GET", "route": "/v1/things", "status": 400.0, "level": "INFO"} {
		if entry[key] != want {
			t.Errorf("%s is %v, want %v", key, entry[key], want)
		}
	}
	if id, _ := entry["request_id"].(string); len(id) != 36 {
		t.Errorf("an insane request id became %q", id)
	}
	for _, key := range []string{"duration_ms", "bytes"} {
		if _, ok := entry[key].(float64); !ok {
			t.Errorf("%s is %v", key, entry[key])
		}
	}
	if entry := line("/v1/" + secret); entry["route"] != "none" {
		t.Errorf("an unknown path is logged as %v", entry["route"])
	}
	if entry["role"] != nil || entry["subject_hash"] != nil || entry["client"] != "192.0.2.1" {
		t.Errorf("an anonymous request is logged as %v", entry)
	}
	if entry := line("/v1/things/fail"); entry["error"] != "hush-hush" || entry["level"] != "ERROR" {
		t.Errorf("a handler's error is logged as %v", entry)
	}
}
