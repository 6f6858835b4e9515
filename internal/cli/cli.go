// Package cli is the command ballast.
//
// # Usage
//
//	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
//
// # Guarantees
//
// An error is one line on standard error that begins with "ballast: " and says what to do next. The
// exit status is 0, [ExitFailure] when the job failed, or [ExitUsage] when the command line was wrong.
//
// # Layout
//
//	cli.go       Main, the root command, what is a usage error
//	engine.go    the engines by name
//	demo.go      ballast demo
//	demopeer.go  the hidden command that is one of its peers
//	progress.go  how a demo shows where it is
//	table.go     how a demo shows how it ended
//	version.go   ballast version
//	demo/        the demo itself: peers, client, kills, checks
//
// Each subcommand has a file of its own and is one function that returns a *cobra.Command, named in
// newRoot.
package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

const (
	// ExitFailure is the exit status when the job failed.
	ExitFailure = 1

	// ExitUsage is the exit status when the command line was wrong, and nothing was done.
	ExitUsage = 2
)

// usageError is what the command line was wrong about.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// streams are what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// Main runs the command of args, which do not have the program's name, and returns the exit status.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot(streams{stdin, stdout, stderr})
	root.SetArgs(args)
	err := root.Execute()
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "ballast: %s\n", oneLine(err))
	if _, usage := errors.AsType[*usageError](err); usage {
		return ExitUsage
	}
	return ExitFailure
}

// oneLine takes away the prefix that errors of package ballast have, and line ends of joined errors.
func oneLine(err error) string {
	text := strings.TrimPrefix(err.Error(), "ballast: ")
	return strings.ReplaceAll(strings.TrimSpace(text), "\n", "; ")
}

func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:           "ballast",
		Short:         "The durable home of a hashicorp/raft peer",
		Long:          "Ballast keeps the log and the stable state of a hashicorp/raft peer. This command shows that it does.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usagef("there is no command %q; `ballast help` lists them", args[0])
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%v; `%s --help` lists the flags", err, cmd.CommandPath())
	})
	root.AddCommand(newDemo(s), newDemoPeer(s), newVersion())
	return root
}

// noArgs is for commands that take flags only.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usagef("%s takes no argument %q; `%s --help` lists its flags", cmd.CommandPath(), args[0], cmd.CommandPath())
}
