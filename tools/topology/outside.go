package topology

import (
	"context"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"example.com/shop/platform/devkit/mailsink"
	"example.com/shop/platform/devkit/paysim"
)

// Outside runs the external systems: the payment provider and the mail server. They run in the
// process that started the shop, so that a shop that is killed finds them as they were.
type Outside struct {
	ProviderURL string // the payment provider; GET /ledger lists what it did
	MailURL     string // what arrived by mail, at GET /messages
	SMTPAddr    string

	closers []func() error
}

func startOutside(ctx context.Context, options Options) (*Outside, error) {
	o := &Outside{}
	journal := filepath.Join(options.State, "provider.jsonl")
	provider, err := paysim.New(paysim.Options{Journal: journal, SlowDelay: options.SlowPayment})
	if err != nil {
		return nil, err
	}
	mail, err := mailsink.Start(mailsink.Options{})
	if err != nil {
		return nil, errors.Join(err, provider.Close())
	}
	o.SMTPAddr = mail.Addr()
	o.closers = []func() error{provider.Close, mail.Close}
	if o.ProviderURL, err = o.serve(ctx, provider); err != nil {
		return nil, errors.Join(err, o.close())
	}
	if o.MailURL, err = o.serve(ctx, mail); err != nil {
		return nil, errors.Join(err, o.close())
	}
	return o, nil
}

// serve listens on any free port of the loopback.
func (o *Outside) serve(ctx context.Context, handler http.Handler) (url string, err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with close
	o.closers = append(o.closers, server.Close)
	return "http://" + listener.Addr().String(), nil
}

func (o *Outside) close() error {
	var errs []error
	for _, c := range o.closers {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}
