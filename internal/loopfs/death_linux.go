package loopfs

import (
	"os/exec"
	"syscall"
)

// UnmountAfterDeath starts a process that unmounts dirs, in this order, when this one has ended without calling release: killed, or
// by the timeout of its tests. Otherwise the machine would keep the mounts, and their devices, for ever.
func UnmountAfterDeath(dirs ...string) (release func() error, err error) {
	script := `read line || for dir; do umount -l "$dir"; done`
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, "sh"}, dirs...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // what kills this process's group leaves it alone
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() error {
		_, _ = in.Write([]byte("\n")) // without it the process unmounts what is not mounted, and that fails
		return cmd.Wait()
	}, nil
}
