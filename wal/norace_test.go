//go:build !race

package wal

const thin = 1
