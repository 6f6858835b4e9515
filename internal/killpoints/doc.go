// Package killpoints shows what a process leaves that is killed, at each call with which it changes
// the file system. It is for tests, on Linux on amd64.
package killpoints
