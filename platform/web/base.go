package web

import (
	"errors"

	"example.com/shop/platform/process"
)

// BaseURL is the URL of another process, checked when the configuration is read.
type BaseURL string

// UnmarshalText accepts http://host:port, with or without a path.
func (b *BaseURL) UnmarshalText(text []byte) error {
	if u, err := process.BaseURL(string(text)); err != nil || u.User != nil {
		return errors.New("not a URL like http://127.0.0.1:8080")
	}
	*b = BaseURL(text)
	return nil
}
