package pgserver

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"example.com/shop/platform/devkit/child"
)

// container runs the server in Docker. The child process is an attached client, which shows the log
// and ends with the container. Signals bypass it: not every version forwards all of them.
type container struct {
	docker  string
	image   string
	name    string
	folder  *folder
	host    string
	durable bool
	log     io.Writer
	port    int // that the container publishes; 0 before its creation
}

// findDocker returns an error unless Docker runs and has the image or can pull it.
func findDocker(ctx context.Context, o Options, f *folder, log io.Writer) (*container, error) {
	docker, err := exec.LookPath("docker")
	if err != nil {
		return nil, errors.New("not installed")
	}
	c := &container{docker: docker, image: cmp.Or(o.Image, "postgres:17-alpine"), folder: f, host: o.Host,
		durable: o.Durable, log: log}
	c.name = fmt.Sprintf("seam-postgres-%x", sha256.Sum256([]byte(f.path)))[:30]
	if err := c.run(ctx, 10*time.Second, "info"); err != nil {
		return nil, fmt.Errorf("does not answer: %w", err)
	}
	if c.run(ctx, 10*time.Second, "image", "inspect", c.image) == nil {
		return c, nil
	}
	defer announce(o.Out, "pulling "+c.image)()
	if err := c.run(ctx, 5*time.Minute, "pull", "--quiet", c.image); err != nil {
		return nil, fmt.Errorf("has no %s: %w", c.image, err)
	}
	return c, nil
}

func (c *container) start(port int) (*child.Process, error) {
	if err := c.create(context.Background(), port); err != nil {
		return nil, err
	}
	o := child.Options{
		Name: "postgres", Path: c.docker, Args: []string{"start", "--attach", c.name},
		Files: []*os.File{c.folder.lock}, Out: c.log,
		Cleanup: []string{c.docker, "stop", c.name},
	}
	if c.folder.temporary {
		const removeAll = `"$1" rm --force --volumes "$2"; rm -rf "$3"`
		o.Cleanup = []string{"/bin/sh", "-c", removeAll, "sh", c.docker, c.name, c.folder.path}
	}
	return child.Start(o)
}

// create creates the container for the port. A restart on the same port reuses it with its data.
func (c *container) create(ctx context.Context, port int) error {
	if c.port == port {
		return nil
	}
	// The last run may have left one; its data is in a volume. If this fails, so does the next.
	_ = c.run(ctx, 30*time.Second, "rm", "--force", c.name)
	volume := "/seam" // without a name: removed with the container
	if !c.folder.temporary {
		volume = c.name + ":/seam"
	}
	args := append([]string{
		"create", "--name", c.name, "--publish", fmt.Sprintf("%s:%d:5432", c.host, port),
		"--volume", volume, "--shm-size", "256m",
		"--env", "POSTGRES_PASSWORD=" + c.folder.password, "--env", "PGDATA=/seam/data", c.image, "postgres",
	}, settings(c.durable)...)
	if err := c.run(ctx, 30*time.Second, args...); err != nil {
		return fmt.Errorf("create container: %w", err)
	}
	c.port = port
	return nil
}

// signal ignores errors if the client has ended: then the container has, too.
func (c *container) signal(p *child.Process, sig syscall.Signal) error {
	err := c.run(context.Background(), 30*time.Second, "kill", "--signal", strconv.Itoa(int(sig)), c.name)
	select {
	case <-p.Done():
		return nil
	default:
		return err
	}
}

func (c *container) remove() error {
	return c.run(context.Background(), 30*time.Second, "rm", "--force", "--volumes", c.name)
}

func (c *container) run(ctx context.Context, limit time.Duration, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	out, err := exec.CommandContext(ctx, c.docker, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
