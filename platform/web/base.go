package web

import (
	"errors"

	"example.com/shop/platform/process"
)

// BaseURL is where another process is asked. It is checked when the configuration is read, and not
// when the first question fails.
type BaseURL string

// UnmarshalText takes http://host:port, with or without a path.
func (b *BaseURL) UnmarshalText(text []byte) error {
	if u, err := process.BaseURL(string(text)); err != nil || u.User != nil {
		return errors.New("not a URL like http://127.0.0.1:8080")
	}
	*b = BaseURL(text)
	return nil
}
