package plants

func init() {
	plants["conduct"] = set{
		refuses: []plant{
			{name: "a clock of its own", file: "modules/orders/late.go",
				text: "package orders\n\nimport \"time\"\n\nfunc late(at time.Time) bool { return time.Now().After(at) }",
				want: "modules/orders/late.go:5: reads the clock, by time.Now"},
			{name: "a call from a file that is not on the canvas", file: "modules/orders/rates.go",
				text: "package orders\n\nimport \"net/http\"\n\nfunc rates(host string) (*http.Response, error) { return http.Get(\"http://\" + host) }",
				want: "modules/orders/rates.go:5: calls out, by http.Get"},
			{name: "a client from a file that is not on the canvas", file: "modules/orders/rates.go",
				text: "package orders\n\nimport \"net/http\"\n\nvar rates = &http.Client{}", want: "calls out, by http.Client"},
			{name: "a connection from a file that is not on the canvas", file: "modules/payments/rates.go",
				text: "package payments\n\nimport \"net\"\n\nvar dial = net.Dial", want: "modules/payments/rates.go:3: imports net, which calls out"},
			{name: "a handler calls out", file: "modules/payments/events.go", old: "if err := checkDue(",
				text: "_, _ = m.provider.Capture(ctx, \"\", 0, \"\")\n\tif err := checkDue(",
				want: "uses the interface provider in a transaction"},
			{name: "a file as memory", file: "modules/orders/keep.go",
				text: "package orders\n\nimport \"os\"\n\nfunc keep(text []byte) error { return os.WriteFile(\"/tmp/orders\", text, 0o600) }",
				want: "modules/orders/keep.go:5: uses os.WriteFile"},
			{name: "the process's variables as memory", file: "modules/orders/keep.go",
				text: "package orders\n\nimport \"expvar\"\n\nvar kept = expvar.NewInt(\"orders\")",
				want: "modules/orders/keep.go:3: imports expvar"},
			{name: "memory in platform", file: "platform/events/shared.go", text: "package events\n\n// Shared is for all.\nvar Shared = map[string]int{}",
				want: "platform/events/shared.go:4: exports the variable Shared"},
			{name: "memory in platform, by a type", file: "platform/events/shared.go",
				text: "package events\n\nimport \"sync\"\n\n// Shared is for all.\nvar Shared sync.Map", want: "exports the variable Shared"},
		},
		accepts: []plant{
			{name: "a duration", file: "modules/orders/near.go", text: "package orders\n\nimport \"time\"\n\nconst near = 2 * time.Second"},
			{name: "a status", file: "modules/orders/near.go", text: "package orders\n\nimport \"net/http\"\n\nconst near = http.StatusOK"},
			{name: "an error of platform", file: "platform/events/near.go",
				text: "package events\n\nimport \"errors\"\n\n// ErrNear is one.\nvar ErrNear = errors.New(\"near\")"},
			{name: "a test", file: "modules/orders/near_test.go",
				text: "package orders\n\nimport (\n\t\"net/http\"\n\t\"time\"\n)\n\nvar now, client = time.Now(), http.DefaultClient"},
			{name: "the file on the canvas", file: "modules/payments/provider.go", text: "var near = &http.Client{}"},
		},
	}
}
