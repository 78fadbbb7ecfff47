package web

import (
	"errors"
	"net/url"
)

// BaseURL is where another process is asked. It is checked when the configuration is read, and not when the first question fails.
type BaseURL string

// UnmarshalText takes http://host:port, with or without a path.
func (b *BaseURL) UnmarshalText(text []byte) error {
	u, err := url.Parse(string(text))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("not a URL like http://127.0.0.1:8080")
	}
	*b = BaseURL(text)
	return nil
}
