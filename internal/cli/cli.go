// Package cli is the command ballast.
//
// # Usage
//
//	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
//
// # Guarantees
//
// An error is one line on standard error that begins with "ballast: " and says what to do next. The
// exit status is
//
//	 0  the job was done, and all is well
//	 1  [ExitFailure]: it could not be done
//	 2  [ExitCorrupt]: something that was stored is damaged
//	 3  [ExitDiffer]: what was compared differs
//	64  [ExitUsage]: the command line was wrong, and nothing was done
//	141 [ExitPipe]: nobody read the output any more
//
// A result that could not be written, as to a full disk, is a failure of every command:
// [ExitFailure], or the status that it has otherwise, and a message. Where its reader has gone, as
// head does, nothing is said. That a message could not be written changes nothing.
//
// What a store, a name of a file or an error holds may be anything, and is shown so that it does
// nothing to a terminal: quoted, or with escapes as in a string of Go; in JSON with \u escapes,
// which mean the same. A text in JSON that is no UTF-8 is its bytes in hexadecimal digits, behind
// 0x.
//
// Subcommands that look into a store never write to it, nor do those that copy it; those that change one say so, and need its lock. A wal they read without a lock, also while a peer writes it; bolt,
// badger and raft-wal they open for reading with the lock of the library, which keeps a writer out meanwhile.
//
// # Layout
//
//	cli.go       Main, the root command, what is a usage error
//	engine.go    the engines by name
//	store.go     a store by its name on the command line: opening it for reading
//	groups.go    one raft group of a wal that several share
//	find.go      what kind of store there is at a path
//	cursor.go    going through the entries of a store
//	damage.go    what is damaged, as JSON and as text
//	reading.go   the progress of that, on a terminal
//	entry.go     an entry as JSON and as text
//	data.go      what the data of a command looks like
//	msgpack.go   MessagePack as text
//	streams.go   standard output and standard error
//	shown.go     how a text from outside is shown
//	text.go      sizes, ranges, tables and JSON
//	info.go      ballast info; infogroups.go of several raft groups
//	segments.go  ballast segments
//	dump.go      ballast dump
//	follow.go    ballast dump --follow
//	stable.go    ballast stable list, ballast stable get
//	stableset.go ballast stable set, ballast stable delete
//	holder.go    who holds a lock
//	owner_unix.go owner_other.go  files that were made keep the owner of their folder
//	verify.go    ballast verify; verifygroups.go of several raft groups, verifyadvice.go what to do
//	diff.go      ballast diff
//	compact.go   ballast compact
//	bench.go     ballast bench
//	repair.go    ballast repair: repairplan.go finds out what is kept, repairwrite.go does it
//	backup.go    ballast backup
//	export.go    ballast export
//	import.go    ballast import: entrysum.go compares its store with the file
//	build.go     making a store of another one, and checking it
//	migrate.go   ballast migrate; migrategroups.go of raft groups
//	dryrun.go    ballast migrate --dry-run
//	drop.go      ballast drop, of a raft group
//	demo.go      ballast demo
//	demopeer.go  the hidden command that is one of its peers
//	progress.go  how a demo shows where it is
//	table.go     how a demo shows how it ended
//	version.go   ballast version
//	complete.go  what a shell offers for arguments and flags
//	docs.go      the reference, made of the commands
//	demo/        the demo itself: peers, client, kills, checks
//	bench/       what ballast bench measures, and the advice
//
// Each subcommand has a file of its own and is one function that returns a *cobra.Command, named in
// newRoot.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/raft-ballast/ballast"
)

const (
	// ExitFailure is the exit status when the job failed.
	ExitFailure = 1

	// ExitCorrupt is the exit status when something that was stored is damaged.
	ExitCorrupt = 2

	// ExitDiffer is the exit status when what was compared differs.
	ExitDiffer = 3

	// ExitPipe is the exit status when nobody read the output any more, as of a program that
	// SIGPIPE has ended: nothing is said then.
	ExitPipe = 141

	// ExitUsage is the exit status when the command line was wrong, and nothing was done. It is EX_USAGE of sysexits.h.
	ExitUsage = 64
)

// exitHelp is what the help of each subcommand says.
const exitHelp = `Exit status: 0 all is well, 1 it could not be done, 2 something that was stored is damaged, 3 they
differ, 64 the command line was wrong.`

// usageError is what the command line was wrong about.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// exitStatus is the error of a command whose output has said all there is to say.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// interrupted says what there is, where Ctrl-C has ended a command.
func interrupted(ctx context.Context, err error, left string) error {
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return fmt.Errorf("interrupted; %s", left)
	}
	return err
}

// Main runs the command of args, which do not have the program's name, and returns the exit status.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	s := newStreams(stdin, stdout, stderr)
	if unofferable(args) {
		fmt.Fprintf(s.out, ":%d\n", cobra.ShellCompDirectiveNoFileComp)
		return s.end(nil, args)
	}
	root := newRoot(s)
	root.SetArgs(args)
	err := unknownCommand(root, args)
	if err == nil {
		err = root.Execute()
	}
	return s.end(err, args)
}

// end writes what is still to be written, says why the command of args has failed, and returns its
// exit status. A result that could not be written is a failure of any command.
func (s streams) end(err error, args []string) int {
	status := 0
	switch said, hasSaid := errors.AsType[exitStatus](err); {
	case hasSaid:
		status, err = int(said), nil
	case err != nil:
		status = statusOf(err)
	}
	if failed := s.out.end(); failed != nil {
		if _, same := errors.AsType[*outputError](err); same {
			err = nil
		}
		switch {
		case err == nil && failed.unread():
			return ExitPipe
		case err == nil:
			err, status = failed, max(status, ExitFailure)
		case !failed.unread():
			err = errors.Join(err, failed)
		}
	}
	if err != nil {
		fmt.Fprintf(s.err, "ballast: %s%s\n", errorText(err, args), holderText(err))
	}
	return status
}

// unknownCommand returns the usage error for a command that is not there. Cobra would rather print the help of the one above it when --help
// is among the arguments.
func unknownCommand(root *cobra.Command, args []string) error {
	cmd, rest, err := root.Find(args)
	if err != nil || len(rest) == 0 || strings.HasPrefix(rest[0], "-") || strings.HasPrefix(rest[0], cobra.ShellCompRequestCmd) {
		return nil
	}
	if cmd == root || cmd.HasAvailableSubCommands() {
		return cmd.Args(cmd, rest[:1])
	}
	return nil
}

// helpOnly has `ballast help` refuse a command that is not there.
func helpOnly(help *cobra.Command) {
	help.RunE = func(help *cobra.Command, args []string) error {
		cmd, rest, err := help.Root().Find(args)
		if err != nil || len(rest) > 0 {
			return usagef("there is no command %q; `ballast help` lists them", strings.Join(args, " "))
		}
		cmd.InitDefaultHelpFlag() // so that it is listed
		return cmd.Help()
	}
}

const completionLong = `Prints a script with which a shell completes commands, stores, the keys of stable values, raft groups and
the values of flags. Each shell loads it in its own way, which 'ballast completion SHELL --help' says. The
examples are for bash, with its package bash-completion: for this shell, and for each new one.

` + exitHelp

const completionExample = `  source <(ballast completion bash)
  ballast completion bash > /etc/bash_completion.d/ballast`

// statusOf returns the exit status of a command that returned an error.
func statusOf(err error) int {
	if _, usage := errors.AsType[*usageError](err); usage {
		return ExitUsage
	}
	if _, several := errors.AsType[*severalGroupsError](err); several {
		return ExitUsage
	}
	if errors.Is(err, ballast.ErrCorrupt) {
		return ExitCorrupt
	}
	return ExitFailure
}

const rootLong = `Ballast keeps the log and the stable state of a hashicorp/raft peer. This command looks into what a
peer has stored, changes it where somebody asks for that, measures disks, and shows that nothing is lost.

A store is named wal:DIR, bolt:FILE, badger:DIR, or raftwal:DIR for what hashicorp/raft-wal wrote;
bolt is also what raft-boltdb wrote, badger what raft-badger wrote. A path alone does where it is
clear what is there: the store itself, or the data directory of a peer with one store in it. What only
looks into a store never changes it, and works on a wal that is in use; what changes one says so, and
refuses one that is in use.

What a store holds, and the names of files, are shown so that they do nothing to a terminal: a text with
characters that are not printable is quoted, with escapes as \x1b. In JSON such a character is \u and
its number, which means the same, and a text that is no UTF-8 is its bytes, in hexadecimal digits behind
0x. What --raw prints, and an export, are the bytes as they are.

A result that cannot be written, as to a full disk, is a failure, also of a command that has done its
job, which is said then. When nobody reads the output any more, as behind 'head', nothing is said, and
the exit status is 141.

` + exitHelp

func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:           "ballast",
		Short:         "The durable home of a hashicorp/raft peer",
		Long:          rootLong,
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
	root.Version = newVersionJSON(buildInfo()).text()
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%v; `%s --help` lists the flags", err, cmd.CommandPath())
	})
	root.AddCommand(newInfo(s), newSegments(s), newDump(s), newStable(s), newVerify(s), newDiff(s), newCompact(s), newBench(s))
	root.AddCommand(newMigrate(s), newDrop(s), newRepair(s), newBackup(s), newExport(s), newImport(s))
	root.AddCommand(newDemo(s), newDemoPeer(s), newVersion(s), newDocs())
	complete(root)
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil {
		asGroup(completion)
		completion.Short, completion.Long, completion.Example = "Print a script with which a shell completes", completionLong, completionExample
	}
	root.InitDefaultHelpCmd()
	if help, _, err := root.Find([]string{"help"}); err == nil {
		helpOnly(help)
	}
	return root
}

// asGroup has a command that is made of others print its help, and refuse one that is not there.
func asGroup(cmd *cobra.Command) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		return usagef("there is no command \"%s %s\"; `%s --help` lists them", cmd.Name(), args[0], cmd.CommandPath())
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// noArgs is for commands that take flags only.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usagef("%s takes no argument %q; `%s --help` lists its flags", cmd.CommandPath(), args[0], cmd.CommandPath())
}

// storeArgs is for commands that take one store.
func storeArgs(cmd *cobra.Command, args []string) error { return countArgs(cmd, args, 1, "one store") }

// countArgs is for commands that take n arguments.
func countArgs(cmd *cobra.Command, args []string, n int, what string) error {
	if len(args) == n {
		return nil
	}
	return usagef("%s takes %s and got %s; `%s --help` shows examples", cmd.CommandPath(), what,
		countText(len(args), "argument", "arguments"), cmd.CommandPath())
}
