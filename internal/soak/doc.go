// Command soak uses one store for an hour as raft uses it, checks all that it reads, and says whether memory, descriptors,
// disk or latency grow.
//
// # Usage
//
//	go run ./internal/soak [-engine wal|bolt|badger] [-for 1h] [-dir folder] [-rate batches/s] [-seed n] [-json]
//
// # What it does
//
// One goroutine appends batches at half the rate that the disk showed in the first minute, at times as fast as it goes, and now and
// then replaces a suffix, votes, and closes and opens the store. Another compacts. Three read: the newest entries, any, and the oldest,
// as a follower does that lags behind. What an entry holds follows from the seed, its index and its term, so every read is verified.
//
// # What it says
//
// The run has twelve parts, each a row of the table. The second to fourth are compared with the last four, by their medians: the
// first one is not counted, in which caches fill up. Exit status: 0, 1 when something grows, was read wrong or failed, 2 for a
// wrong command line.
//
//	main.go     the command line
//	entry.go    what an entry holds
//	model.go    what the store holds
//	append.go   the writer, and closing and opening
//	run.go      a run, and those that work beside the writer
//	measure.go  histograms and samples
//	report.go   the table and the verdict
package main
