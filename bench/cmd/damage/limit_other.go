//go:build !linux

package main

// limitMemory does nothing where there is no such limit that is enforced.
func limitMemory() {}
