package displaced

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func init() {
	events = append(events,
		event{
			name: "mounted over", open: store, displaced: true, mounts: true,
			change: func(tr *trial) { tr.mount(store) },
		},
		event{
			name: "mounted over, and unmounted", open: store, now: store, mounts: true,
			change: func(tr *trial) {
				tr.mount(store)
				must(tr.t, unix.Unmount(tr.at(store), 0))
				tr.name = tr.at("peer/other")
			},
		},
		event{
			name: "unmounted", open: store, displaced: true,
			before: func(tr *trial) {
				tr.mount("peer/disk")
				tr.name = tr.at("peer/disk/raft")
			},
			change: func(tr *trial) {
				must(tr.t, unix.Unmount(tr.at("peer/disk"), unix.MNT_DETACH))
			},
		},
		event{
			name: "two stores exchanged", open: store,
			displaced: true, now: "peer/other", says: true,
			change: func(tr *trial) {
				if tr.engine == "bolt" {
					tr.t.Skip("an empty file is no store")
				}
				tr.empty("peer/other")
				must(tr.t, unix.Renameat2(unix.AT_FDCWD, tr.at(store),
					unix.AT_FDCWD, tr.at("peer/other"), unix.RENAME_EXCHANGE))
			},
		},
	)
}

// mount mounts an empty file system on a folder, which is made.
func (tr *trial) mount(name string) {
	tr.t.Helper()
	if tr.engine == "bolt" && name == store {
		tr.t.Skip("the store is a file")
	}
	err := os.MkdirAll(tr.at(name), 0o700)
	if err == nil {
		err = unix.Mount("ballast-test", tr.at(name), "tmpfs", 0, "size=64m")
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		tr.t.Skipf("mounting is refused: %v", err)
	}
	must(tr.t, err)
	tr.t.Cleanup(func() { _ = unix.Unmount(tr.at(name), unix.MNT_DETACH) })
}
