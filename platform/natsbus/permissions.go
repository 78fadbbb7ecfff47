package natsbus

// Permissions returns the subjects to which the broker lets a module publish and subscribe, and
// none else: its own topics, the durables of the topics that it listens to, and an inbox of its
// own, in which no other module reads the answers. The durables are listed because no wildcard of
// NATS matches a part of a name; so the users are written again when a module listens to more.
func Permissions(stream, module string, topics []string) (publish, subscribe []string) {
	publish = []string{stream + "." + module + ".>"} // a topic begins with its publisher
	for _, topic := range topics {
		name := stream + "." + durableName(module, topic)
		publish = append(publish, "$JS.API.CONSUMER.INFO."+name, "$JS.API.CONSUMER.MSG.NEXT."+name, "$JS.ACK."+name+".>")
	}
	return publish, []string{inbox(module) + ".>"}
}

// Provisioner is the user who may manage the stream and its durables.
const Provisioner = "seam"

// ProvisionerPermissions are Permissions of Provisioner.
func ProvisionerPermissions() (publish, subscribe []string) {
	return []string{"$JS.API.>"}, []string{inbox(Provisioner) + ".>"}
}

func inbox(user string) string { return "_INBOX_" + user }
