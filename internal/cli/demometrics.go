package cli

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/badgerstore"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/internal/cli/demo"
	"github.com/raft-ballast/ballast/metrics"
	"github.com/raft-ballast/ballast/metrics/prommetrics"
	"github.com/raft-ballast/ballast/wal"
)

// This file is how the peers of a demo show Prometheus what they do.

// observed opens the store of each durable engine with a sink.
var observed = map[string]func(path string, sink metrics.Sink) (ballast.Store, error){
	"wal": func(path string, sink metrics.Sink) (ballast.Store, error) {
		return opened[ballast.Store](wal.Open(path, &wal.Options{Metrics: sink}))
	},
	"bolt": func(path string, sink metrics.Sink) (ballast.Store, error) {
		return opened[ballast.Store](boltstore.Open(path, &boltstore.Options{Metrics: sink}))
	},
	"badger": func(path string, sink metrics.Sink) (ballast.Store, error) {
		return opened[ballast.Store](badgerstore.Open(path, &badgerstore.Options{Metrics: sink}))
	},
}

// metricsAddrs returns where each peer shows its metrics: the first one at the given address, the others at the ports that follow, so that
// a server finds a peer where it was when that comes back from a kill. Port 0 is any free ones; an empty address is none.
func metricsAddrs(addr string) (map[string]string, error) {
	addrs := map[string]string{}
	if addr == "" {
		return addrs, nil
	}
	host, text, err := net.SplitHostPort(addr)
	port, portErr := strconv.ParseUint(text, 10, 16)
	if err != nil || portErr != nil || int(port)+len(demo.PeerIDs)-1 > 65535 {
		return nil, usagef("--metrics is %q; give host:port, such as 127.0.0.1:9464", addr)
	}
	for i, id := range demo.PeerIDs {
		addrs[id] = net.JoinHostPort(host, strconv.Itoa(int(port)+i))
		if port != 0 {
			continue
		}
		if addrs[id], err = demo.FreeMetricsAddr(host, addrs); err != nil {
			return nil, err
		}
	}
	return addrs, nil
}

// metricsHint tells where the metrics are.
func metricsHint(addrs map[string]string) string {
	if len(addrs) == 0 {
		return ""
	}
	var urls []string
	for _, id := range demo.PeerIDs {
		urls = append(urls, "http://"+addrs[id]+"/metrics")
	}
	return "\nmetrics for Prometheus: " + strings.Join(urls, " ")
}

// openObserved opens the store of a demo's peer, and shows its metrics at an address; nowhere when that is empty.
func (e engine) openObserved(dir, addr string) (ballast.Store, error) {
	if addr == "" {
		return e.openIn(dir)
	}
	return showing(addr, func(sink metrics.Sink) (ballast.Store, error) {
		return observed[e.name](filepath.Join(dir, e.file), sink)
	})
}

// openGroupsObserved does the same for a log of many raft groups.
func (e engine) openGroupsObserved(dir, addr string) (*wal.Groups, error) {
	path := filepath.Join(dir, e.file)
	if addr == "" {
		return wal.OpenGroups(path, nil)
	}
	return showing(addr, func(sink metrics.Sink) (*wal.Groups, error) { return wal.OpenGroups(path, &wal.Options{Metrics: sink}) })
}

// showing opens a store with a sink, and shows what that holds at an address until the process ends.
func showing[S io.Closer](addr string, open func(sink metrics.Sink) (S, error)) (store S, err error) {
	reg := prometheus.NewRegistry()
	sink, err := prommetrics.New(reg, "raft")
	if err != nil {
		return store, err
	}
	if store, err = open(sink); err != nil {
		return store, err
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return store, errors.Join(fmt.Errorf("the metrics cannot be shown: %w; give another --metrics", err), store.Close())
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }()
	return store, nil
}
