package limit

import "testing"

func TestMountIn(t *testing.T) {
	const table = `22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:25 / /tmp rw,nosuid shared:5 - tmpfs tmpfs rw
31 22 259:1 / /data rw,noatime - xfs /dev/nvme0n1 rw
32 31 259:2 / /data rw - ext4 /dev/nvme1n1 rw
a line that is none
`
	for dir, want := range map[string]Mount{
		"/":          {"ext4", "/dev/vda"},
		"/tmp/x":     {"tmpfs", "tmpfs"},
		"/tmpx":      {"ext4", "/dev/vda"},
		"/data":      {"ext4", "/dev/nvme1n1"},
		"/data/raft": {"ext4", "/dev/nvme1n1"},
	} {
		if got := mountIn(table, dir); got != want {
			t.Errorf("%s is on %v, want %v", dir, got, want)
		}
	}
	if got := mountIn("", "/"); got != (Mount{"unknown", "unknown"}) {
		t.Errorf("without a table: %v", got)
	}
}
