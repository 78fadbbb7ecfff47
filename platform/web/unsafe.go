package web

import "example.com/shop/platform/process"

// Unsafe refuses the issuer of development in production: whoever has the key that seam made could
// give out tokens.
func (a Auth) Unsafe() []string {
	if a.Issuer == process.Defaults[Auth]().Issuer {
		return []string{"AUTH_ISSUER is that of development: set it to your identity provider's, and AUTH_PUBLIC_KEY to its key, or leave that out"}
	}
	return nil
}
