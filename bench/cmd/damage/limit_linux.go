package main

import "golang.org/x/sys/unix"

// limitMemory ends a process that asks for more than any store needs, instead of the machine. Files that are mapped count.
func limitMemory() {
	const most = 32 << 30
	_ = unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: most, Max: most}) // without it the trials are the same
}
