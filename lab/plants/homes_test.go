package plants

func init() {
	plants["homes"] = set{
		refuses: []plant{
			{name: "a canary across two homes", file: "deploy/routes/canary.yaml", text: canary("new"),
				want: "are both written to"},
			{name: "a weight that is misspelt", file: "deploy/routes.yaml", old: "weight: 100", text: "wieght: 100",
				want: "deploy/routes.yaml"},
		},
		accepts: []plant{
			{name: "a canary in one home", file: "deploy/routes/canary.yaml", text: canary("shop")},
		},
	}
}
