// Command ballast is for those who run raft peers that keep their log in Ballast.
//
// # Usage
//
//	ballast demo [--engine bolt|badger] [--seconds 20] [--dir folder] [--keep] [--json] [--seed n] [--writers 32]
//	ballast version
//
// `ballast demo` shows what Ballast is for: three raft peers, each a process of its own, are killed
// with SIGKILL in the middle of writing and restarted from disk, and every write that was acknowledged
// has to be on every peer at the end. It takes less than half a minute and needs nothing but this
// program.
//
// # Guarantees
//
// Results go to standard output, errors to standard error, in one line that says what to do. The exit
// status is 0 for success, 1 when the job failed and 2 when the command line was wrong.
package main

import (
	"os"

	"github.com/raft-ballast/ballast/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
