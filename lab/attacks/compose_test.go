package attacks

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"example.com/shop/platform/postgres"
	"example.com/shop/tools/topology"
)

// container is what docker inspect says of one.
type container struct {
	State  struct{ Pid int }
	Config struct{ Labels map[string]string }

	NetworkSettings struct {
		Networks map[string]struct {
			NetworkID, Gateway, IPAddress string
			IPPrefixLen                   int
		}
	}
}

// composed returns the shop that runs as this project of deploy/compose.services.yaml, with the
// secrets of SEAM_STATE. It is met at its containers' addresses, because behind a port that is
// published on the loopback all clients have the same.
func composed(ctx context.Context, project string) (s *shop, err error) {
	run := func(name string, args ...string) string {
		out, failed := exec.CommandContext(ctx, name, args...).CombinedOutput()
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("%s %s: %w: %s", name, args[0], failed, out))
		}
		return string(out)
	}
	ids := strings.Fields(run("docker", "ps", "--quiet", "--filter", "label=com.docker.compose.project="+project))
	var containers []container
	err = errors.Join(err, json.Unmarshal([]byte(run("docker", append([]string{"inspect"}, ids...)...)), &containers))
	state := cmp.Or(os.Getenv("SEAM_STATE"), topology.DefaultState())
	key, noKey := topology.SigningKey(state)
	admin, noAdmin := topology.Password(state, "admin-password")
	roles, noRoles := topology.Password(state, topology.RoleSecret)
	facade, noFacade := topology.Password(state, topology.GatewaySecret)
	seeds, noSeeds := topology.WriteBrokerUsers(filepath.Join(state, topology.BrokerKeys))
	if err := errors.Join(err, noKey, noAdmin, noRoles, noFacade, noSeeds); err != nil {
		return nil, err
	}

	s = &shop{admin: admin, System: &topology.System{
		Plan: postgres.Plan{Modules: topology.Modules, Secret: roles}, Key: key, Secret: facade, Seeds: seeds,
	}}
	at, processes, bridge, bits := map[string]string{}, []running{}, "", 0
	for _, c := range containers {
		name := c.Config.Labels["com.docker.compose.service"]
		for _, network := range c.NetworkSettings.Networks {
			at[name], s.here, bits, bridge = network.IPAddress, network.Gateway, network.IPPrefixLen, "br-"+network.NetworkID[:12]
		}
		p := running{name: name, url: "http://" + at[name] + ":8080", pid: c.State.Pid}
		if slices.Contains(topology.Modules, name) {
			p.serves = []string{name}
		}
		if name != "postgres" { // which has the admin's password by right
			processes = append(processes, p)
		}
	}
	for _, name := range []string{"gateway", "broker", "postgres"} {
		if at[name] == "" {
			return nil, fmt.Errorf("the project %q has no container of %s that runs", project, name)
		}
	}
	s.URL, s.InternalURL, s.broker = "http://"+at["gateway"]+":8080", "http://"+at["gateway"]+":8082", at["broker"]+":4222"
	s.AdminURL = "postgres://postgres:" + admin + "@" + at["postgres"] + ":5432/shop"
	s.processes = func() []running { return processes }
	s.log = func() (said string) {
		for _, id := range ids {
			said += run("docker", "logs", id)
		}
		return said
	}
	// The upper half of the network's addresses become this machine's, until the network goes.
	s.clients = netip.PrefixFrom(netip.MustParseAddr(s.here), bits).Masked().Addr()
	s.clients, _ = netip.AddrFromSlice(s.client(1 << (31 - bits)))
	run("ip", "route", "replace", "local", fmt.Sprintf("%s/%d", s.clients, bits+1), "dev", bridge)
	return s, err
}
