// Package origin carries in a context which request is being done, so that what is published and
// logged because of it can say so.
package origin

import "context"

// Request identifies a request.
type Request struct {
	CorrelationID string // the request's id
	Actor         string // who asked: role:subject, or system
	Topic         string // of the event that is being handled, or that a job follows from; "" for none
	Action        string // of staff or a service: the method and path of a change, which is audited; "" for others
	Client        string // the address that an action came from
}

type key struct{}

// With returns a context of the request.
func With(ctx context.Context, r Request) context.Context { return context.WithValue(ctx, key{}, r) }

// From returns the request of ctx. Without one the actor is the system.
func From(ctx context.Context) Request {
	if r, ok := ctx.Value(key{}).(Request); ok {
		return r
	}
	return Request{Actor: "system"}
}
