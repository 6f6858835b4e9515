package raft18_test

// What the tests of the root module's packages import, so that go.mod and go.sum of this module know it.
import (
	_ "github.com/anishathalye/porcupine"
	_ "github.com/hanwen/go-fuse/v2/fuse"
	_ "github.com/prometheus/client_golang/prometheus/testutil"
	_ "github.com/prometheus/client_golang/prometheus/testutil/promlint"
	_ "github.com/raft-ballast/ballast/internal/cli"
	_ "github.com/raft-ballast/ballast/internal/fixture"
	_ "github.com/raft-ballast/ballast/metrics/gometrics"
	_ "github.com/raft-ballast/ballast/storetest"
)
