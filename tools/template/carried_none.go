//go:build !released

package template

var archive []byte
