package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"example.com/shop/cmd/gateway/routes"
)

type shownFile struct {
	Upstreams map[string]routes.Upstream `json:"upstreams"`
	Routes    map[string]shownRoute      `json:"routes"`
}

type shownRoute struct {
	routes.Route
	Shadowed *routes.Tally `json:"shadowed,omitempty"` // since the gateway was started
	Unknown  string        `json:"shadowed_unknown,omitempty"`
}

func newShownFile(file routes.File) shownFile {
	shown := shownFile{Upstreams: file.Upstreams, Routes: map[string]shownRoute{}}
	for name, r := range file.Routes {
		shown.Routes[name] = shownRoute{Route: r}
	}
	return shown
}

// askGateway adds the results that a gateway has counted, or why there are none.
func (f shownFile) askGateway(ctx context.Context, ops string) {
	var page struct {
		Routes map[string]struct {
			Shadow *routes.Tally `json:"shadow"`
		} `json:"routes"`
	}
	asked := false
	var err error
	for name, r := range f.Routes {
		if r.Shadow == nil {
			continue
		}
		if !asked {
			asked, err = true, getPage(ctx, strings.TrimSuffix(ops, "/")+"/routes", &page)
		}
		switch r.Shadowed = page.Routes[name].Shadow; {
		case err != nil:
			r.Unknown = fmt.Sprintf("no answer from the gateway, set GATEWAY_OPS_URL to its OPS_ADDR: %v", err)
		case r.Shadowed == nil:
			r.Unknown = "the gateway that was asked does not shadow this route"
		}
		f.Routes[name] = r
	}
}

func getPage(ctx context.Context, url string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return json.NewDecoder(response.Body).Decode(into)
}

// printShadowed prints the results of the shadow. They have no values of the answers.
func printShadowed(out io.Writer, r shownRoute) {
	switch t := r.Shadowed; {
	case r.Unknown != "":
		fmt.Fprintf(out, "    shadow: %s\n", r.Unknown)
	case t != nil:
		fmt.Fprintf(out, "    shadow: %d compared, %d differ, %d failed, %d dropped\n",
			t.Compared, t.Mismatched, t.Failed, t.Dropped)
		if len(t.Mismatches) > 0 {
			last := t.Mismatches[len(t.Mismatches)-1]
			fmt.Fprintf(out, "    the latest difference: status %d and %d, at %s\n",
				last.Status, last.Shadow, strings.Join(last.Pointers, " "))
		}
	}
}
