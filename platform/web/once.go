package web

import (
	"net/http"
	"strings"
)

// once are the headers that identify a request. Of several values each reader between the client
// and the module may take another one, or all of them joined, and a retry would not be recognised.
var once = []string{"Authorization", "Content-Type", "Idempotency-Key"}

// decided refuses a request that has one of them more than once.
func decided(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range once {
			if len(r.Header[name]) > 1 {
				writeProblem(w, newProblem(r.Context(), http.StatusBadRequest, "invalid-header",
					"Send each of "+strings.Join(once, ", ")+" once."))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
