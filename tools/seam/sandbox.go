package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"example.com/shop/platform/devkit/mailsink"
	"example.com/shop/platform/devkit/paysim"
	"example.com/shop/platform/process"
	"example.com/shop/tools/flags"
)

const aboutSandbox = `seam sandbox runs the external systems at fixed addresses, without seam up; Ctrl-C stops it.
The payment provider lists what it did at /ledger, and keeps it in SEAM_STATE; the mail server lists mails at /messages.`

// sandbox runs the payment provider and the mail server of seam up. Neither is real.
func sandbox(ctx context.Context, args []string) error {
	s, err := readSettings()
	if err != nil {
		return err
	}
	set := flag.NewFlagSet("sandbox", flag.ContinueOnError)
	host := set.String("host", "127.0.0.1", "the address that all three listen on")
	providerPort := set.Int("provider-port", 8091, "of the payment provider")
	smtpPort := set.Int("smtp-port", 1025, "where mail is accepted")
	mailPort := set.Int("mail-port", 8025, "where mail is shown")
	slow := set.Duration("slow", 0, "how long the provider takes for tok_slow (default 1m30s)")
	if err := flags.ParseOnly(set, aboutSandbox, args); err != nil {
		return err
	}
	at := func(port int) string { return net.JoinHostPort(*host, strconv.Itoa(port)) }
	if err := os.MkdirAll(s.State, 0o755); err != nil { //nolint:gosec // for PostgreSQL's user
		return err
	}
	provider, err := paysim.New(paysim.Options{Journal: filepath.Join(s.State, "provider.jsonl"), SlowDelay: *slow})
	if err != nil {
		return err
	}
	defer provider.Close() //nolint:errcheck // it writes each line before it answers
	mail, err := mailsink.Start(mailsink.Options{Addr: at(*smtpPort)})
	if err != nil {
		return process.Usage(err)
	}
	defer mail.Close() //nolint:errcheck // it stores nothing
	listen := new(net.ListenConfig)
	atProvider, err := listen.Listen(ctx, "tcp", at(*providerPort))
	if err != nil {
		return process.Usage(err)
	}
	atMail, err := listen.Listen(ctx, "tcp", at(*mailPort))
	if err != nil {
		return process.Usage(err)
	}
	fmt.Fprintf(os.Stderr, "The payment provider answers on %s, mail goes to %s and is shown on %s.\n",
		atProvider.Addr(), mail.Addr(), atMail.Addr())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serveUntil(ctx, atProvider, provider) })
	group.Go(func() error { return serveUntil(ctx, atMail, mail) })
	return group.Wait()
}

// serveUntil serves until ctx ends, and cuts off slow answers, like a provider that fails.
func serveUntil(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
