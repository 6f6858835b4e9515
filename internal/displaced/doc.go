// Package displaced is a test of every engine: two processes, each with its store, while the name
// by which the first one was opened comes to mean something else. Nothing of the one may get into
// the other, and the first says so at its next rotation.
package displaced
