package notificationssim

import (
	"context"

	"example.com/shop/platform/devkit/sandbox"
	"example.com/shop/platform/process"
)

type settings struct {
	// Where mail is accepted.
	SMTPPort int `env:"NOTIFICATIONS_SIM_SMTP_PORT" envDefault:"1025" min:"0"`
	// Where it is shown.
	MailPort int `env:"NOTIFICATIONS_SIM_MAIL_PORT" envDefault:"8025" min:"0"`
}

// InSandbox starts the mail server, which shows the mails at /messages of MAIL_URL.
func InSandbox(ctx context.Context, b *sandbox.Box) error {
	s, err := process.Config[settings]()
	if err != nil {
		return err
	}
	sink, err := Start(Options{Addr: b.Addr(s.SMTPPort)})
	if err != nil {
		return process.Usage(err)
	}
	b.OnStop(sink.Close)
	url, err := b.Serve(ctx, s.MailPort, sink)
	b.Set("NOTIFICATIONS_SMTP_ADDR", sink.Addr())
	b.Set("MAIL_URL", url)
	b.Set("MAIL_PAGE", url+"/messages")
	return err
}
