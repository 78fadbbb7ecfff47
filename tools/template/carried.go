package template

import (
	"archive/zip"
	"bytes"
	"fmt"
)

// CarriedSource is the source of a product that such a binary has made.
const CarriedSource = "the seam command"

// Carried returns the template that this binary carries, and the commit that it is of. ok is false
// for a binary that tools/release.sh has not built.
func Carried() (f Files, version string, ok bool, err error) {
	if len(archive) == 0 {
		return nil, "", false, nil
	}
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err == nil {
		f, err = unpack(r)
	}
	if err != nil {
		return nil, "", true, fmt.Errorf("read the template of this binary: %w", err)
	}
	return f, r.Comment, true, nil // git archive writes the commit there
}
