package loopfs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a device or a folder may be in use by somebody else, who is about to let go of it.
const patience = 10 * time.Second

// Missing returns why a file system of this kind cannot be had here, "" when it can.
func Missing(kind Kind) string {
	if !slices.Contains(Kinds, kind) {
		return fmt.Sprintf("%q is no file system of loopfs", kind)
	}
	if !mayMount() {
		return "mounting needs root"
	}
	if _, err := mkfs(kind); err != nil {
		return err.Error()
	}
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return "no loop devices: " + err.Error()
	}
	_ = control.Close()
	if !supported(kind) {
		return fmt.Sprintf("this kernel has no %s", kind)
	}
	return ""
}

// mayMount reports whether this process has the capability that mounting needs: root of a container often has not.
func mayMount() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0
}

// mkfs returns the path of the program that makes file systems of this kind.
func mkfs(kind Kind) (string, error) {
	name := "mkfs." + string(kind)
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} { // not everybody has these in PATH
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed", name)
}

// supported reports whether the kernel knows the file system, and loads its module where it is one.
func supported(kind Kind) bool {
	if listed(kind) {
		return true
	}
	_ = exec.Command("modprobe", string(kind)).Run() // the list tells whether it worked
	return listed(kind)
}

func listed(kind Kind) bool {
	list, err := os.ReadFile("/proc/filesystems")
	return err == nil && slices.Contains(strings.Fields(string(list)), string(kind))
}

// Format makes a new file system in the file image, whose size is the device's. It stays sparse.
func Format(kind Kind, image string) error {
	program, err := mkfs(kind)
	if err != nil {
		return err
	}
	var args []string
	switch kind {
	case Ext4:
		// Blocks as on large disks, and nothing that the kernel still has to do when it is mounted.
		args = []string{"-q", "-F", "-b", "4096", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"}
	default:
		args = []string{"-q", "-f", "-K"}
	}
	if out, err := exec.Command(program, append(args, image)...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, bytes.TrimSpace(out))
	}
	return nil
}

// Mount mounts the file system in the file image at dir, through a loop device of its own.
func Mount(kind Kind, image, dir string) (*Mounted, error) {
	device, err := attach(image)
	if err != nil {
		return nil, err
	}
	if err := unix.Mount(device.Name(), dir, string(kind), unix.MS_NOATIME, "nodiscard"); err != nil {
		err = &fs.PathError{Op: "mount", Path: dir, Err: err}
		return nil, errors.Join(err, detach(device))
	}
	return &Mounted{device: device.Name(), dir: dir, detach: func() error { return detach(device) }}, nil
}

// attach returns a loop device whose content is the file image. The kernel detaches it by itself when nobody has it open or
// mounted any more, so that a process that is killed leaves none behind.
func attach(image string) (*os.File, error) {
	// os.OpenFile would ask the file whether it can be polled, and when this process itself serves the file that may wait for ever.
	file, err := unix.Open(image, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: image, Err: err}
	}
	defer unix.Close(file) // the device has it open then
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	config := unix.LoopConfig{Fd: uint32(file), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
	copy(config.Info.File_name[:len(config.Info.File_name)-1], image) // for those who list the devices
	for end := time.Now().Add(patience); ; {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, os.NewSyscallError("LOOP_CTL_GET_FREE", err)
		}
		device, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		if err = unix.IoctlLoopConfigure(int(device.Fd()), &config); err == nil {
			return device, nil
		}
		_ = device.Close() // it is not ours
		// Between the two calls somebody else may have taken the device.
		if err != unix.EBUSY || time.Now().After(end) {
			return nil, &fs.PathError{Op: "LOOP_CONFIGURE", Path: device.Name(), Err: err}
		}
	}
}

// detach takes the file from the device, and returns when the kernel has let go of it.
func detach(device *os.File) error {
	err := unix.IoctlSetInt(int(device.Fd()), unix.LOOP_CLR_FD, 0)
	if err != nil {
		err = &fs.PathError{Op: "LOOP_CLR_FD", Path: device.Name(), Err: err}
	}
	if err = errors.Join(err, device.Close()); err != nil {
		return err
	}
	// Whoever looks at all devices, as udev does, may have it open for a moment.
	backing := fmt.Sprintf("/sys/block/%s/loop/backing_file", filepath.Base(device.Name()))
	was, err := os.ReadFile(backing)
	for end := time.Now().Add(patience); err == nil; {
		if time.Now().After(end) {
			return fmt.Errorf("%s still holds %s", device.Name(), bytes.TrimSpace(was))
		}
		time.Sleep(time.Millisecond)
		var now []byte
		if now, err = os.ReadFile(backing); !bytes.Equal(was, now) {
			break // the next one has it already
		}
	}
	return nil
}

// Unmount unmounts the file system and detaches the device. When somebody uses the file system for long, it disappears from dir at
// once and is let go with its last user; that is an error. Unmounting again does nothing.
func (m *Mounted) Unmount() error {
	if m.detach == nil {
		return nil
	}
	var err error
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if err = unix.Unmount(m.dir, 0); err != unix.EBUSY || time.Now().After(end) {
			break
		}
	}
	if err != nil {
		_ = unix.Unmount(m.dir, unix.MNT_DETACH) // the first error is the one that tells
		err = &fs.PathError{Op: "unmount", Path: m.dir, Err: err}
	}
	err = errors.Join(err, m.detach())
	m.detach = nil
	return err
}
