package topology

import (
	"strings"

	"example.com/shop/architecture"
	"example.com/shop/platform/devkit/broker"
	"example.com/shop/platform/natsbus"
	"example.com/shop/platform/process"
)

// BrokerKeys is the folder of the keys at the broker, beside the data.
const BrokerKeys = "broker-keys"

// WriteBrokerUsers makes the keys at the broker that are missing in the folder, for each module and
// for the user that provisions, and writes the users' file there. It returns the seed of each user.
func WriteBrokerUsers(dir string) (seeds map[string]string, err error) {
	cfg, err := process.Config[natsbus.Config]()
	if err != nil {
		return nil, err
	}
	var users []broker.User
	for _, name := range BrokerUsers() {
		publish, subscribe := natsbus.ProvisionerPermissions()
		if name != natsbus.Provisioner {
			publish, subscribe = natsbus.Permissions(cfg.Stream, name, architecture.Listens()[name])
		}
		users = append(users, broker.User{Name: name, Publish: publish, Subscribe: subscribe})
	}
	if err := broker.WriteUsers(dir, users); err != nil {
		return nil, err
	}
	seeds = map[string]string{}
	for _, user := range users {
		if seeds[user.Name], err = broker.Seed(dir, user.Name); err != nil {
			return nil, err
		}
	}
	return seeds, nil
}

// BrokerUsers returns the modules, and the user who provisions.
func BrokerUsers() []string { return append(append([]string{}, Modules...), natsbus.Provisioner) }

// seed returns the setting with the user's seed, which is empty on a broker without users.
func (s *System) seed(user string) string { return SeedSetting(user) + "=" + s.Seeds[user] }

// SeedSetting returns the name of the setting with the user's seed.
func SeedSetting(user string) string { return strings.ToUpper(user) + "_NATS_SEED" }
