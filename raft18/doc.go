// Package raft18 holds Ballast against hashicorp/raft v1.8.0.
//
// The root module requires raft v1.7.3, so that a service can import Ballast beside raft-boltdb and raft-wal while
// it moves over. This module requires v1.8.0 and tests three things:
//
//   - every engine, and logcache in front of it, is a raft.CommitTrackingLogStore, which is new in v1.8.0;
//   - a cluster of three peers over TCP on each durable engine keeps what it has acknowledged when its leader
//     is lost, when a follower needs a snapshot and when all peers start again, and finds what was committed before a
//     leader is elected;
//   - the project's own tests pass unchanged.
//
// From this folder:
//
//	go test .                                        # the cluster
//	go test github.com/raft-ballast/ballast/...      # that and the project's own tests
//
// The second command runs the tests of another module, whose dependencies `go mod tidy` does not keep for
// this one. deps_test.go imports them.
package raft18
