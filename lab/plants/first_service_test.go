package plants

import (
	"strings"

	"example.com/shop/platform/service"
)

func init() {
	const reason = "\n    despite: the audit of card data covers 41,000 lines; 3,100 once payments stands alone (audit of 2026-02)"
	plants["first-service"] = set{
		refuses: []plant{
			ledgerOf("inventory first", extracting("inventory"),
				"inventory is the first extraction, and orders calls it"),
			ledgerOf("payments first", extracting("payments"),
				"payments is the first extraction, and orders waits for its events "+
					"(captured.v1, declined.v1): orders → payments → orders"),
			ledgerOf("orders first", extracting("orders"),
				"inventory → orders → inventory\n  instead: begin with a module that no other waits for (notifications), or"),
			ledgerOf("payments first, for a word", extracting("payments\n    despite: legacy"),
				"or give a measured reason for this one in despite: say two figures"),
			ledgerOf("payments first, below one that leaves a year later",
				strings.ReplaceAll(extracting("notifications"), "2026-", "2027-")+
					strings.TrimPrefix(extracting("payments"), "extractions:\n"),
				"payments is the first extraction"),
			paymentsFirst("a step between two others", func(all map[string]*service.Description) {
				unheard(all)
				all["notifications"].Subscribes = append(all["notifications"].Subscribes, "payments.refunded.v1")
			}, "notifications waits for its events (refunded.v1): orders → payments → notifications"),
			paymentsFirst("all wait for each other", func(all map[string]*service.Description) {
				all["orders"].Reaches = append(all["orders"].Reaches, shop+"/modules/notifications")
			}, "instead: give a measured reason for this one in despite"),
		},
		accepts: []plant{
			ledgerOf("notifications first", extracting("notifications"), ""),
			ledgerOf("payments after notifications", extracting("notifications", "payments"), ""),
			ledgerOf("payments first, for a reason", extracting("payments"+reason), ""),
			ledgerOf("inventory first, for a reason", extracting("inventory"+reason), ""),
			paymentsFirst("it only listens, also to itself", func(all map[string]*service.Description) {
				unheard(all)
				all["payments"].Subscribes = append(all["payments"].Subscribes, "payments.refunded.v1")
			}, ""),
			paymentsFirst("it only publishes, also to itself", func(all map[string]*service.Description) {
				all["payments"].Subscribes = []string{"payments.refunded.v1"}
			}, ""),
		},
	}
}

// extracting is a ledger of these modules, each as in the example.
func extracting(modules ...string) string {
	text, entry := "extractions:\n", strings.TrimPrefix(example, "extractions:\n")
	for _, m := range modules {
		text += strings.Replace(entry, "module: notifications", "module: "+m, 1)
	}
	return text
}

// paymentsFirst is the extraction of payments in a system in which the modules say something else.
func paymentsFirst(name string, change func(all map[string]*service.Description), want string) plant {
	p := saying(name, want, change)
	p.given = []plant{{file: ledgerFile, whole: true, text: extracting("payments")}}
	return p
}

// unheard lets orders ignore what payments publishes.
func unheard(all map[string]*service.Description) {
	all["orders"].Subscribes = []string{"inventory.reserved.v1", "inventory.rejected.v1"}
}
