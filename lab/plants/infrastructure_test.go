package plants

import "strings"

func init() {
	plants["infrastructure"] = set{
		refuses: []plant{
			{name: "a broker", given: nothingMoved, file: "deploy/compose.yaml", old: "\nservices:\n",
				text: "\nservices:\n  broker:\n    image: nats\n", want: "deploy/compose.yaml: starts broker"},
			{name: "a service beside the monolith", given: nothingMoved, file: "deploy/compose.yaml", old: "\nservices:\n",
				text: "\nservices:\n  payments:\n    image: seam-payments\n", want: "starts payments"},
			{name: "a broker for an extraction that is only assessed",
				given: []plant{{file: ledgerFile, whole: true,
					text: strings.Replace(example, "state: canary", "state: assessed", 1)}},
				file: "deploy/compose.override.yaml", text: "services:\n  broker:\n    image: nats\n",
				want: "deploy/compose.override.yaml: starts broker"},
			{name: "a broker in a file of another name", given: nothingMoved, file: "deploy/dev.yml",
				text: "services:\n  broker:\n    image: nats\n", want: "deploy/dev.yml: starts broker"},
			{name: "a broker in another folder", given: nothingMoved, file: "ops/stack.yaml",
				text: "services:\n  broker:\n    image: nats\n", want: "ops/stack.yaml: starts broker"},
			{name: "a broker under a cheap name", given: nothingMoved, file: "deploy/extra/compose.yaml",
				text: "services:\n  seed:\n    image: nats:2\n", want: "deploy/extra/compose.yaml: starts seed"},
			{name: "a broker in the second document", given: nothingMoved, file: "deploy/extra.yaml",
				text: "a: b\n---\nservices:\n  broker:\n    image: nats:2\n", want: "deploy/extra.yaml: starts broker"},
			{name: "a template that no rule can read", given: nothingMoved, file: "chart/orders.yaml",
				text: "apiVersion: {{ .Version }}\n", want: "chart/orders.yaml: cannot be read as YAML"},
			{name: "an orchestrator", given: nothingMoved, file: "k8s/orders.yaml",
				text: "apiVersion: apps/v1\nkind: Deployment\n", want: "k8s/orders.yaml: is for an orchestrator"},
			{name: "a process gets another module's role", file: theSplit, old: "postgres://payments_rt:", text: "postgres://orders_rt:",
				want: "gives PAYMENTS_DATABASE_URL the role orders_rt"},
			{name: "a process gets the role that migrates", file: "deploy/compose.yaml", old: "postgres://payments_rt:",
				text: "postgres://payments_migrate:", want: "gives PAYMENTS_DATABASE_URL the role payments_migrate"},
			{name: "one password for two roles", file: theSplit, old: "${PAYMENTS_RT_PASSWORD}",
				text: "${ORDERS_RT_PASSWORD}", want: "gives PAYMENTS_DATABASE_URL the password ORDERS_RT_PASSWORD"},
			{name: "the monolith has the login of a module that has left", given: noneOfIt, file: "deploy/also.yaml",
				text: monolithWith("environment: {NOTIFICATIONS_DATABASE_URL: x}"),
				want: "deploy/also.yaml: gives monolith NOTIFICATIONS_DATABASE_URL, and notifications is decommissioned"},
			{name: "the monolith has a setting of it, in a list", given: noneOfIt, file: "deploy/also.yaml",
				text: monolithWith("environment: [NOTIFICATIONS_MAIL_FROM=x]"), want: "gives monolith NOTIFICATIONS_MAIL_FROM, and"},
			{name: "the monolith has its file of settings", given: noneOfIt, file: "deploy/also.yaml",
				text: monolithWith("env_file: [env/orders.env, env/notifications.service.env]"),
				want: "gives monolith env/notifications.service.env, and"},
			{name: "the split by another file", file: "deploy/compose.yaml", old: "\nservices:\n",
				text: "\ninclude: [compose.services.yaml]\nservices:\n",
				want: "deploy/compose.yaml: includes another file"},
		},
		accepts: []plant{
			{name: "a note", file: "deploy/compose.yaml", text: "# broker: not yet"},
			{name: "the address of a module that has left, and its own process", given: noneOfIt, file: "deploy/also.yaml",
				text: monolithWith("environment: {NOTIFICATIONS_URL: x}") +
					"  notifications: {image: notifications, environment: {NOTIFICATIONS_DATABASE_URL: x}}\n"},
			{name: "a broker for a canary", given: []plant{{file: ledgerFile, whole: true, text: example}},
				file: "deploy/compose.override.yaml", text: "services:\n  broker:\n    image: nats\n"},
		},
	}
}

// monolithWith is a file that starts the monolith with some settings.
func monolithWith(settings string) string {
	return "services:\n  monolith: {image: \"${SEAM_IMAGES:-seam-}monolith:dev\", " + settings + "}\n"
}
