package topology

import (
	"example.com/shop/architecture"
	"example.com/shop/platform/devkit/broker"
	"example.com/shop/platform/natsbus"
)

// WriteBrokerUsers makes the keys at the broker that are missing in the folder, for each module and
// for whoever provisions, and writes the users' file there.
func WriteBrokerUsers(dir, stream string) error {
	var users []broker.User
	for _, name := range BrokerUsers() {
		publish, subscribe := natsbus.ProvisionerPermissions()
		if name != natsbus.Provisioner {
			publish, subscribe = natsbus.Permissions(stream, name, architecture.Listens()[name])
		}
		users = append(users, broker.User{Name: name, Publish: publish, Subscribe: subscribe})
	}
	return broker.WriteUsers(dir, users)
}

// BrokerUsers returns the modules, and the user who provisions.
func BrokerUsers() []string { return append(append([]string{}, Modules...), natsbus.Provisioner) }
