package plants

import (
	"regexp"
	"strings"

	"example.com/shop/architecture"
)

const (
	ledgerFile = "deploy/extractions.yaml"
	mapFile    = "architecture/contextmap.yaml"
	theSplit   = "deploy/compose.services.yaml"
	described  = architecture.Described
	readme     = architecture.Readme
	shop       = architecture.Path
)

// nothingMoved is the ledger before any extraction.
var nothingMoved = []plant{{file: ledgerFile, whole: true, text: "extractions: []\n"}}

// ledgerOf is another ledger in the place of today's.
func ledgerOf(name, text, want string) plant {
	return plant{name: name, file: ledgerFile, whole: true, text: text, want: want}
}

const example = `extractions:
  - module: notifications
    trigger: isolation
    measurement: mails delayed orders on 7 days of a month; on 0 once notifications stands alone (incidents of 2026-02)
    owner: grace
    state: canary
    dates: {assessed: 2026-03-02, canary: 2026-03-20, cut over: 2026-04-10, data moved: 2026-05-15, decommissioned: 2026-06-30}
    dual_run_ends: 2026-04-10
`

var measurement = regexp.MustCompile(`measurement:.*`)

// record is what seam move prints of the example.
const record = "moved: 2026-05-15 7443210987654321098/notifications epoch 2, 41000 rows in 12 tables, checksum 0123456789abcdef"

// moved is the example once its data has moved, and decommissioned in its last state.
var (
	moved          = strings.Replace(example, "state: canary", "state: data moved\n    "+record, 1)
	decommissioned = strings.Replace(moved, "state: data moved", "state: decommissioned", 1)
)

const canary = `upstreams:
  monolith: {url: "http://127.0.0.1:8090"}
  notifications: {url: "http://127.0.0.1:8092"}
routes:
  notifications:
    prefix: /v1/notifications
    sides:
      - {upstream: monolith, weight: 90}
      - {upstream: notifications, weight: 10}
`
