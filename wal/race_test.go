//go:build race

package wal

// thin says that one of so many cases of an exhaustive test runs: under the race detector they take
// ten times as long, and what they look for does not depend on it.
const thin = 16
