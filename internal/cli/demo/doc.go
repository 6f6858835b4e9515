// Package demo kills a raft cluster that keeps its logs in Ballast, in the middle of writing, and
// checks that nothing is lost.
//
// # Usage
//
// [Run] is the client: it starts the peers, writes, kills and checks. [ServePeer] is one peer, in a
// process of its own that Config.Command starts.
//
// # Guarantees
//
// A write counts as acknowledged when the leader's Apply future returned nil and the client got to
// know. One whose outcome the client does not know is tried again with the same key and value, until
// it is acknowledged or the writing ends; then it counts neither way.
//
// The check asks every peer for every acknowledged write, of earlier runs of the folder too, and
// compares the bytes of the value. Every command has a checksum, verified by the leader, when it is
// applied, when a snapshot is restored, and when the stopped peers' logs are read; every snapshot has
// one over its whole. A digest over all applied commands has to be the same on all peers at the same
// index.
//
// Peers end when their standard input ends, so none outlives the client, however that ends.
//
// # Layout
//
//	run.go       Run: the phases of a demo
//	schedule.go  who is killed when
//	cluster.go   the peers' processes
//	client.go    the writers and who they take for the leader
//	check.go     what is asked of the peers, and of what they leave
//	report.go    how it ended
//	folder.go    the directory and its marker file
//	lead.go      who leads how many groups
//	peer.go      ServePeer: a peer, which is a process
//	replica.go   a raft group in a peer
//	mux.go       the raft connections of all groups over one port
//	stores.go    what the groups keep their logs in
//	serve.go     what a peer answers to clients
//	wire.go      the frames between client and peer
//	fsm.go       the replicated state and its snapshots
//	command.go   what one write is
//
// In the directory there are ballast-demo.json, and for each peer a folder with the engine's store,
// raft's snapshots, and raft's text log peer.log.
package demo
