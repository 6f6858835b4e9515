// Package cluster holds the test of whole clusters: three raft peers, each a process of its own, whose network is cut, whose
// processes are killed and whose disk is full, while clients use a few registers. What the clients saw has to be linearizable.
//
// # Usage
//
// The short form is part of `go test ./...`. A longer one:
//
//	go test ./internal/cluster -run TestCluster -v -for 2m -seed 7 -engine wal
//
// The full disk needs root and ext4 on a loop device; where there is none that part is left out, and the test says so. A
// history that is not linearizable is drawn into a file that stays, and so are the peers' folders with raft's own logs.
//
// # How it works
//
// The peers are the test's own binary, started again. Each reaches each other one through a proxy of the test, which can cut
// and delay the two directions of a link on their own. Clients go to the peers directly, also to a leader that is cut off and
// does not know it yet.
//
// Reads go through the log, as writes do. With Raft.VerifyLeader a stale read would be possible: it counts the answer to a heartbeat
// that was sent before it was called, and a link can hold that answer back for as long as it likes.
//
// An operation is a success, a failure that certainly changed nothing (no leader, no space), or unknown. An unknown write may
// happen at any time after its call, or never.
//
// # What a full disk does
//
// A leader whose append finds no space tells the clients so, and steps down; another one takes over. A follower refuses the entries
// and goes on answering heartbeats, so it does not ask for votes either. Terms and votes are stored all the same, and a peer can be
// started. The leader tries the follower again after a pause that doubles, up to ten seconds, so a peer comes back
// by itself within that time once there is space, with a snapshot when it is far behind. All this needs pipelining switched off, as the
// peers here have it: peer_test.go says why.
//
// # Layout
//
//	cluster_test.go    the tests, their flags, and the phases of a run
//	nemesis_test.go    what is done to the cluster
//	client_test.go     the clients
//	history_test.go    what they saw, and whether it is linearizable
//	wire_test.go       the requests between test and peer
//	process_test.go    the peers' processes
//	network_test.go    the links between peers
//	disk_test.go       the disk that is full
//	peer_test.go       a peer
//	machine_test.go    the replicated registers
//	groups_test.go     many raft groups on three logs, in one process
//	leftover_test.go   what the stopped peers left on their disks
package cluster
