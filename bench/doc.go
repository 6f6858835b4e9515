// Package bench holds what needs the other stores beside ours, so that none of them enters the build of somebody who uses Ballast.
//
//	cmd/compare       every store on the same work in the same run, and the limit of the disk
//	cmd/groups        many raft groups in one log, beside logs of their own
//	cmd/powercut      what power cuts do to each
//	cmd/damage        what damage does to each
//	internal/stores   the stores; adding one is a file
//	internal/compare  how they are measured
//	internal/report   how that is shown
//
// Its tests hold that each of our engines reads what the one it replaces has written, and the reverse, and write docs/CONFORMANCE.md.
package bench
