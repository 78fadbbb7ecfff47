package main

import (
	"errors"
	"io"
	"net/http"
	"time"

	"example.com/shop/platform/remote"
)

// receive reads the body of a request before the request counts as under way: one that hangs
// occupies only a place of its own client's. If it cannot, or if the client sends too many
// requests, it answers the request. Clients are counted outside alone: inside they are the shop
// itself.
func (g door) receive(w http.ResponseWriter, r *http.Request) (body []byte, whole bool) {
	route, client := g.current.Load().match(r.URL.Path), remote.Address(r)
	switch {
	case !g.internal && g.rate.Wait(remote.Network(client), time.Now()) > 0:
		writeProblem(w, r, http.StatusTooManyRequests, "too-many-requests", "Your address sends too many requests. Send fewer a second.")
		return nil, false
	case route == nil || route.internal != g.internal:
		return nil, true // ServeHTTP says so
	case r.Method == http.MethodConnect: // which httputil does not send
		writeProblem(w, r, http.StatusMethodNotAllowed, "method-not-allowed", "Use another method.")
		return nil, false
	case r.ContentLength > route.maxBody:
		writeProblem(w, r, http.StatusRequestEntityTooLarge, "body-too-large", "Send a smaller body.")
		return nil, false
	case r.ContentLength == 0:
		return nil, true
	}
	switch {
	case g.internal:
	case !g.bodies.Take(client):
		writeProblem(w, r, http.StatusTooManyRequests, "too-many-bodies",
			"Too many requests from your address are still arriving. Send fewer at a time.")
		return nil, false
	default:
		defer g.bodies.Leave(client)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, route.maxBody))
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		writeProblem(w, r, http.StatusRequestEntityTooLarge, "body-too-large", "Send a smaller body.")
	case err != nil && r.Context().Err() == nil:
		// Not 408, which would invite the client to send the malformed body again.
		writeProblem(w, r, http.StatusBadRequest, "malformed-request", "Send a body in well-formed chunks.")
	case err != nil:
		// The client stopped sending, or disconnected. The server ends the context in both cases.
		writeProblem(w, r, http.StatusRequestTimeout, "request-timeout", "The body did not arrive whole in time. Send the request again.")
	}
	r.ContentLength, r.TransferEncoding, r.Trailer = int64(len(body)), nil, nil
	return body, err == nil
}
