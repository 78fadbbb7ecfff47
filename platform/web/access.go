package web

import (
	"context"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"example.com/shop/platform/origin"
)

// The values of huma.Operation.Security, which declares who may call, also in OpenAPI; two roles
// are slices.Concat(web.Customer, web.Staff). Public is empty, and nil declares nothing.
var (
	Public   = []map[string][]string{}
	Customer = []map[string][]string{{bearer: {"customer"}}}
	Staff    = []map[string][]string{{bearer: {"staff"}}}
	Service  = []map[string][]string{{bearer: {"service"}}}
)

const bearer = "bearer" // the security scheme's name in OpenAPI

// Principal is the caller: the token's subject, acting in one role. On public routes it is zero.
type Principal struct{ Subject, Role string }

type principalKey struct{}

// PrincipalFrom returns the caller of the operation that ctx belongs to.
func PrincipalFrom(ctx context.Context) Principal {
	who, _ := ctx.Value(principalKey{}).(Principal)
	return who
}

// authorize admits only callers in a role that the operation's Security names, each at a limited
// rate.
func (s *Server) authorize(api huma.API) func(huma.Context, func(huma.Context)) {
	return func(hc huma.Context, next func(huma.Context)) {
		ctx, actor := hc.Context(), "anonymous"
		if declared := hc.Operation().Security; len(declared) > 0 {
			hc.SetHeader("Cache-Control", "no-store") // also of a refusal
			who, err := s.verifier.verify(ctx, hc.Header("Authorization"))
			if err != nil {
				requestFrom(ctx).cause = err // only logged: a caller could probe with it
				hc.SetHeader("WWW-Authenticate", "Bearer")
				_ = huma.WriteErr(api, hc, http.StatusUnauthorized, "")
				return
			}
			requestFrom(ctx).who = who
			if !slices.Contains(roles(declared), who.Role) {
				_ = huma.WriteErr(api, hc, http.StatusForbidden, "")
				return
			}
			if who.Role != "service" { // whose calls are those of its callers
				if wait := s.rate.Wait(who, time.Now()); wait > 0 {
					hc.SetHeader("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
					_ = huma.WriteErr(api, hc, http.StatusTooManyRequests, "")
					return
				}
			}
			ctx = context.WithValue(ctx, principalKey{}, who)
			actor = who.Role + ":" + who.Subject
		}
		// Events that are published because of this request carry its origin through all modules.
		request := origin.Request{CorrelationID: requestFrom(ctx).id, Actor: actor}
		if role := requestFrom(ctx).who.Role; (role == "staff" || role == "service") && !safe(hc.Method()) {
			path := hc.URL().Path // without the query
			request.Action, request.Client = hc.Method()+" "+path, requestFrom(ctx).address
		}
		ctx = origin.With(ctx, request)
		next(huma.WithContext(hc, ctx))
	}
}

// safe reports whether a request by the method only reads (RFC 9110, 9.2.1).
func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// roles returns the roles that may call.
func roles(declared []map[string][]string) (names []string) {
	for _, alternative := range declared {
		names = append(names, alternative[bearer]...)
	}
	return names
}

// compact matches a JWT (RFC 7519, 3). The library also accepts JSON, with unsigned headers.
var compact = regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$`)

// token returns the JWT of an Authorization header, or nothing.
func token(header string) string {
	scheme, credentials, _ := strings.Cut(header, " ")
	credentials = strings.TrimSpace(credentials)
	if !strings.EqualFold(scheme, "Bearer") || !compact.MatchString(credentials) {
		return ""
	}
	return credentials
}
