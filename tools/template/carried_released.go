//go:build released

package template

import _ "embed"

// archive is what tools/release.sh has git archive write.
//
//go:embed template.zip
var archive []byte
