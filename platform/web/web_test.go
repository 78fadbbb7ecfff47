package web

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"example.com/shop/platform/telemetry"
)

func TestMain(m *testing.M) {
	if _, err := telemetry.Start(context.Background(), "test", telemetry.Config{}, silent); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

var silent = slog.New(slog.DiscardHandler)

// bench is a server with a small module, the log it writes and the key its tokens are signed with.
type bench struct {
	*Server
	log *bytes.Buffer
	key ed25519.PrivateKey
}

const issuer = "https://issuer.test"

// errPassing is what the server knows to pass.
var errPassing = errors.New("not now")

// secondKey is of another kind than a bench's first.
var secondKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func newBench(t testing.TB, cfg Config) *bench {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	second, err := secondKey()
	if err != nil {
		t.Fatal(err)
	}
	keys := pemOf(t, public) + pemOf(t, second.Public())
	verifier, err := NewVerifier(Auth{Issuer: issuer, Audience: "app", ServiceAudience: "app-internal", PublicKey: keys,
		MaxLifetime: 25 * time.Hour, ServiceMaxLifetime: 30 * 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Docs = true
	b := &bench{log: &bytes.Buffer{}, key: private}
	b.Server = New(cfg, verifier, slog.New(slog.NewJSONHandler(b.log, nil)), func(err error) bool { return errors.Is(err, errPassing) })
	if err := b.Mount("things", things); err != nil {
		t.Fatal(err)
	}
	return b
}

func pemOf(t testing.TB, public crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

type thing struct {
	Name  string    `json:"name" minLength:"1" maxLength:"20"`
	Count int       `json:"count" minimum:"1"`
	Mail  string    `json:"mail,omitempty" format:"email"`
	Due   time.Time `json:"due,omitzero" required:"false"`
}

type thingInput struct {
	Key  string `header:"X-Key" required:"true" pattern:"^[a-z]+$"`
	Body thing
}

type thingOutput struct{ Body thing }

type nothing struct{}

func things(api huma.API) {
	handle := func(path string, access []map[string][]string, fail func(context.Context) error) {
		huma.Register(api, huma.Operation{OperationID: path, Method: http.MethodGet, Path: path, Security: access},
			func(ctx context.Context, _ *nothing) (*nothing, error) { return &nothing{}, fail(ctx) })
	}
	huma.Register(api, huma.Operation{OperationID: "make", Method: http.MethodPost, Path: "/v1/things", Security: Customer},
		func(_ context.Context, in *thingInput) (*thingOutput, error) { return &thingOutput{Body: in.Body}, nil })
	type listInput struct{ Paging }
	type listOutput struct{ Body Page[thing] }
	huma.Register(api, huma.Operation{OperationID: "list", Method: http.MethodGet, Path: "/v1/things", Security: Public},
		func(_ context.Context, in *listInput) (*listOutput, error) {
			var from struct{ N int }
			if err := DecodeCursor(in.Cursor, &from); err != nil {
				return nil, err
			}
			rows := make([]int, in.Limit+1)
			page := NewPage(rows, in.Limit, func(int) thing { return thing{} }, func(int) any { return from })
			return &listOutput{page}, nil
		})
	type oneInput struct {
		ID uuid.UUID `path:"id" format:"uuid"`
	}
	huma.Register(api, huma.Operation{OperationID: "one", Method: http.MethodGet, Path: "/v1/things/{id}", Security: Public},
		func(ctx context.Context, _ *oneInput) (*nothing, error) {
			return nil, Problem(ctx, http.StatusNotFound, "thing-not-found", "Look at the list for what there is.")
		})
	type whoOutput struct{ Body Principal }
	huma.Register(api, huma.Operation{OperationID: "who", Method: http.MethodGet, Path: "/v1/things/who", Security: Customer},
		func(ctx context.Context, _ *nothing) (*whoOutput, error) { return &whoOutput{PrincipalFrom(ctx)}, nil })
	handle("/v1/things/staff", Staff, func(context.Context) error { return nil })
	handle("/v1/things/service", Service, func(context.Context) error { return nil })
	handle("/v1/things/panic", Public, func(context.Context) error { panic("hush-hush") })
	handle("/v1/things/fail", Public, func(context.Context) error { return errors.New("hush-hush") })
	handle("/v1/things/passing", Public, func(context.Context) error { return fmt.Errorf("hush: %w", errPassing) })
	handle("/v1/things/refused", Public, func(context.Context) error {
		return fmt.Errorf("hush: %w", &RefusalError{http.StatusConflict, "thing-running", "Wait."})
	})
	handle("/v1/things/slow", Public, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
}

// sign makes a token of any text, also of one that no library would write.
func (b *bench) sign(claims string) string {
	text := encode(`{"alg":"EdDSA"}`) + "." + encode(claims)
	return text + "." + encode(string(ed25519.Sign(b.key, []byte(text))))
}

// bearer is the header of ann, who acts in the role.
func (b *bench) bearer(role string) string {
	return "Bearer " + b.sign(claimsOf(`"sub":"ann","role":"`+role+`"`, claim("exp", time.Hour)))
}

// answer is a response that was read and, if it is one, the problem in it.
type answer struct {
	*http.Response
	text    string
	problem problem
}

func (b *bench) send(t *testing.T, method, target, body string, headers ...string) answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	b.Handler().ServeHTTP(w, r)
	a := answer{Response: w.Result(), text: w.Body.String()}
	if p := &a.problem; a.StatusCode >= 400 {
		err := json.Unmarshal([]byte(a.text), p)
		if a.Header.Get("Content-Type") != "application/problem+json" || err != nil ||
			p.Status != a.StatusCode || p.Title == "" || p.Detail == "" || len(p.TraceID) != 32 {
			t.Errorf("%s %s: %d is no whole problem: %v in %s", method, target, a.StatusCode, err, a.text)
		}
	}
	return a
}

// post makes a thing.
func (b *bench) post(t *testing.T, body string) answer {
	t.Helper()
	return b.send(t, http.MethodPost, "/v1/things", body, "Authorization", b.bearer("customer"), "X-Key", "abc")
}
