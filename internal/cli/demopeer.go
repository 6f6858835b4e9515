package cli

import (
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"

	"github.com/raft-ballast/ballast/internal/cli/demo"
)

// newDemoPeer is one peer of a demo. Only the demo starts it.
func newDemoPeer(s streams) *cobra.Command {
	var name, id, dir, metrics string
	var groups int
	var peers []string
	cmd := &cobra.Command{
		Use:    peerCommand,
		Hidden: true,
		Short:  "One peer of a demo, started by it",
		Args:   noArgs,
		RunE: func(*cobra.Command, []string) error {
			e, err := durableEngine(name)
			if err != nil {
				return err
			}
			addrs := map[string]string{}
			for _, p := range peers {
				id, addr, _ := strings.Cut(p, "=")
				addrs[id] = addr
			}
			if addrs[id] == "" {
				return usagef("%s is started by `ballast demo`; use that", peerCommand)
			}
			// A terminal sends Ctrl-C to the peers too; it is the demo that ends them.
			signal.Ignore(os.Interrupt)
			return demo.ServePeer(demo.PeerConfig{
				ID:       id,
				Dir:      dir,
				Addrs:    addrs,
				Stores:   demoStores(e, groups, metrics),
				Commands: s.in,
				Events:   s.out.shownAtOnce(),
				Orphaned: func() { os.Exit(ExitFailure) },
			})
		},
	}
	cmd.Flags().StringVar(&name, "engine", defaultEngine, "of the store")
	cmd.Flags().StringVar(&id, "id", "", "of this peer")
	cmd.Flags().StringVar(&dir, "dir", "", "of this peer")
	cmd.Flags().StringVar(&metrics, "metrics", "", "host:port where this peer shows its metrics; nowhere when empty")
	cmd.Flags().IntVar(&groups, "groups", 1, "raft groups of this peer")
	cmd.Flags().StringArrayVar(&peers, "peer", nil, "id=host:port of each peer")
	return cmd
}
