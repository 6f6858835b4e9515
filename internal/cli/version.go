package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

const versionLong = `Prints the version of this command, the revision that it was built from where that is known, the
version of hashicorp/raft in it, of Go, and the system it was built for. For a report of a fault. With
--json it is one object: version, revision, raft, go and system.

Exit status: 0, 64 the command line was wrong.`

func newVersion(s streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this command and of the raft it was built with",
		Long:    versionLong,
		Example: "  ballast version\n  ballast version --json | jq -r .version",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			v := newVersionJSON(buildInfo())
			if asJSON {
				return writeJSON(s.out, v)
			}
			return writeLines(s.out, v.text())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one object of JSON")
	return cmd
}

// buildInfo returns nil for a binary that was built without modules.
func buildInfo() *debug.BuildInfo {
	info, _ := debug.ReadBuildInfo()
	return info
}

// versionJSON is what `ballast version --json` prints.
type versionJSON struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Raft     string `json:"raft,omitempty"`
	Go       string `json:"go"`
	System   string `json:"system"`
}

// newVersionJSON takes what buildInfo returns.
func newVersionJSON(info *debug.BuildInfo) versionJSON {
	v := versionJSON{Version: "(unknown)", Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
	if info == nil {
		return v
	}
	v.Version = info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Revision = s.Value
		}
	}
	for _, m := range info.Deps {
		if m.Path == "github.com/hashicorp/raft" {
			v.Raft = m.Version
		}
	}
	return v
}

func (v versionJSON) text() string {
	text := "ballast " + v.Version
	if v.Revision != "" {
		text += ", revision " + v.Revision
	}
	if v.Raft != "" {
		text += ", hashicorp/raft " + v.Raft
	}
	return text + ", " + v.Go + " " + v.System
}
