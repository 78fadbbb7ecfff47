package web

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"example.com/shop/platform/events"
)

// The values of huma.Operation.Security: the declaration of who may call, which is also what OpenAPI shows. A route
// open to two roles says slices.Concat(web.Customer, web.Staff). Public is empty, and nil declares nothing.
var (
	Public   = []map[string][]string{}
	Customer = []map[string][]string{{bearer: {"customer"}}}
	Staff    = []map[string][]string{{bearer: {"staff"}}}
	Service  = []map[string][]string{{bearer: {"service"}}}
)

const bearer = "bearer" // the security scheme's name in OpenAPI

// Principal is who calls: the token's subject, acting in one role. On public routes nobody is asked, so it is zero.
type Principal struct{ Subject, Role string }

type principalKey struct{}

// PrincipalFrom returns the caller of the operation that ctx belongs to.
func PrincipalFrom(ctx context.Context) Principal {
	who, _ := ctx.Value(principalKey{}).(Principal)
	return who
}

// authorize lets through whom the operation's Security names. Anything it does not understand lets through nobody.
func (s *Server) authorize(api huma.API) func(huma.Context, func(huma.Context)) {
	return func(hc huma.Context, next func(huma.Context)) {
		ctx, actor := hc.Context(), "anonymous"
		if declared := hc.Operation().Security; len(declared) > 0 {
			who, err := s.verifier.verify(ctx, hc.Header("Authorization"))
			if err != nil {
				requestFrom(ctx).cause = err // which check failed is for the log: a caller could probe with it
				hc.SetHeader("WWW-Authenticate", "Bearer")
				_ = huma.WriteErr(api, hc, http.StatusUnauthorized, "")
				return
			}
			if !permits(declared, who.Role) {
				_ = huma.WriteErr(api, hc, http.StatusForbidden, "")
				return
			}
			ctx = context.WithValue(ctx, principalKey{}, who)
			actor = who.Role + ":" + who.Subject
		}
		// Events published on behalf of this request say so, through every module that they reach.
		ctx = events.WithOrigin(ctx, events.Origin{CorrelationID: requestFrom(ctx).id, Actor: actor})
		next(huma.WithContext(hc, ctx))
	}
}

// callers names the roles of a declaration for people.
func callers(declared []map[string][]string) string {
	if len(declared) == 0 {
		return "anybody"
	}
	var roles []string
	for _, alternative := range declared {
		roles = append(roles, alternative[bearer]...)
	}
	return strings.Join(roles, " or ")
}

func permits(declared []map[string][]string, role string) bool {
	return slices.ContainsFunc(declared, func(alternative map[string][]string) bool {
		return slices.Contains(alternative[bearer], role)
	})
}

// compact is the one form of a JWT (RFC 7519, 3). The library would take a signature in JSON as
// well, with headers that are not signed.
var compact = regexp.MustCompile(`^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$`)

// token takes the credentials out of an Authorization header; none if they are no JWT.
func token(header string) string {
	scheme, credentials, _ := strings.Cut(header, " ")
	credentials = strings.TrimSpace(credentials)
	if !strings.EqualFold(scheme, "Bearer") || !compact.MatchString(credentials) {
		return ""
	}
	return credentials
}
