// Command mutants shows that the tests of wal see what they are there for: it breaks the code on purpose, one
// mistake at a time, and tells which tests noticed.
//
//	go run ./internal/mutants                 all of them; stops at the first tier that catches a fault
//	go run ./internal/mutants -only 'sync'    those whose names match
//	go run ./internal/mutants -tier crash     what this tier catches
//	go run ./internal/mutants -all            every tier, whether one has caught the fault or not
//	go run ./internal/mutants -json           the outcome for a program
//
// Each file in the folder mutants is a fault: what it is, which promise it breaks, and the text of the source that
// becomes another one. The text is looked for, so that lines may move; it has to be there exactly once, and a test of
// this package sees to that. The compiler is given changed copies of the files, the source itself is never written to.
//
// A tier is a group of tests, see tiers.go. Each one is run without a fault first: tests that fail anyway catch nothing.
// The command ends with 1 when a fault is not caught, and with 2 when it cannot tell: a fault does not compile, a tier
// fails without one.
package main
