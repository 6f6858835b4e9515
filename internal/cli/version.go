package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this command and of the raft it was built with",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info, _ := debug.ReadBuildInfo()
			_, err := fmt.Fprintln(cmd.OutOrStdout(), versionText(info))
			return err
		},
	}
}

// versionText takes nil for a binary that was built without modules.
func versionText(info *debug.BuildInfo) string {
	version, revision, raft := "(unknown)", "", ""
	if info != nil {
		version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = ", revision " + s.Value
			}
		}
		for _, m := range info.Deps {
			if m.Path == "github.com/hashicorp/raft" {
				raft = ", hashicorp/raft " + m.Version
			}
		}
	}
	return fmt.Sprintf("ballast %s%s%s, %s %s/%s", version, revision, raft, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
