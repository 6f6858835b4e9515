// Command ballast is for those who run raft peers: it looks into what a peer has stored, in Ballast, raft-boltdb, raft-badger or
// raft-wal, and shows that Ballast loses nothing.
//
// # Usage
//
//	ballast info STORE                       what a store holds, its terms, its vote, its cluster
//	ballast segments STORE                   the files of a wal and what is live in each
//	ballast dump STORE [--from n] [--to n] [--term n] [--type t] [--limit n] [--raw] [--data form] [--decoder command] [--follow]
//	ballast stable list STORE                the term, the vote, and what else is in the stable state
//	ballast stable get STORE KEY [--raw]
//	ballast verify STORE                     reads everything and tells what is damaged and what is lost
//	ballast diff STORE STORE                 the first index at which two logs differ
//	ballast demo [--engine bolt|badger] [--seconds 20] [--dir folder] [--keep] [--json] [--seed n] [--writers 32]
//	ballast version
//
// A store is wal:DIR, bolt:FILE, badger:DIR, raftwal:DIR, or a path: the store itself, or the data directory of a peer with one store
// in it. What looks into a store never changes it, and works on a wal that is in use. Each of these commands prints JSON with
// --json, and examples with --help.
//
// `ballast demo` shows what Ballast is for: three raft peers, each a process of its own, are killed
// with SIGKILL in the middle of writing and restarted from disk, and every write that was acknowledged
// has to be on every peer at the end. It takes less than half a minute and needs nothing but this
// program.
//
// # Guarantees
//
// Results go to standard output, errors to standard error, in one line that says what to do. The
// exit status is 0 when all is well, 1 when the job could not be done, 2 when something that was
// stored is damaged, 3 when what was compared differs, 64 when the command line was wrong, and 141
// when nobody read the output any more. A result that could not be written is a failure. What comes
// from a store or from the name of a file is shown so that it does nothing to a terminal.
package main

import (
	"os"

	"github.com/raft-ballast/ballast/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
