package killpoints

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
)

// changes are the calls that change files; openat may make one. What is written through a memory
// map shows at the next of them.
var changes = map[uint64]bool{
	syscall.SYS_OPENAT: true, syscall.SYS_WRITE: true, syscall.SYS_PWRITE64: true, syscall.SYS_WRITEV: true,
	syscall.SYS_FSYNC: true, syscall.SYS_FDATASYNC: true, syscall.SYS_FTRUNCATE: true, syscall.SYS_FALLOCATE: true, syscall.SYS_MSYNC: true,
	syscall.SYS_RENAME: true, syscall.SYS_RENAMEAT: true, 316: true /* renameat2 */, syscall.SYS_LINK: true, syscall.SYS_LINKAT: true,
	syscall.SYS_UNLINK: true, syscall.SYS_UNLINKAT: true, syscall.SYS_MKDIR: true, syscall.SYS_MKDIRAT: true, syscall.SYS_MUNMAP: true,
	syscall.SYS_EXIT_GROUP: true,
}

// Snapshots runs a program, stops it at each call that changes a file, before it does, and copies
// dir then. It returns the folders with the copies that differ, in order.
func Snapshots(t *testing.T, dir string, argv, env []string) []string {
	t.Helper()
	runtime.LockOSThread() // ptrace knows the thread
	defer runtime.UnlockOSThread()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	pid, err := syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{
		Env: env, Files: []uintptr{null.Fd(), null.Fd(), os.Stderr.Fd()}, Sys: &syscall.SysProcAttr{Ptrace: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &tracer{t: t, pid: pid, dir: dir, into: t.TempDir(), inside: map[int]bool{}}
	s.trace()
	return s.taken
}

type tracer struct {
	t      *testing.T
	pid    int
	dir    string
	into   string
	inside map[int]bool // threads that are in a call
	last   string
	taken  []string
}

// waitFor is for all threads of the program, and for no other child of this process.
const waitFor = syscall.WALL | 0x20000000 // __WNOTHREAD

const traceOptions = syscall.PTRACE_O_TRACECLONE | syscall.PTRACE_O_TRACESYSGOOD | 0x100000 /* PTRACE_O_EXITKILL */

func (s *tracer) trace() {
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(s.pid, &status, 0, nil); err != nil {
		s.t.Fatal(err)
	}
	if err := syscall.PtraceSetOptions(s.pid, traceOptions); err != nil {
		s.t.Fatal(err)
	}
	tid := s.pid
	for signal := 0; ; {
		_ = syscall.PtraceSyscall(tid, signal) // a thread that has ended is told below
		var err error
		for tid, err = syscall.Wait4(-1, &status, waitFor, nil); errors.Is(err, syscall.EINTR); {
			tid, err = syscall.Wait4(-1, &status, waitFor, nil)
		}
		signal = 0
		switch {
		case err != nil:
			s.t.Fatal(err)
		case (status.Exited() || status.Signaled()) && tid == s.pid:
			if status.ExitStatus() != 0 {
				s.t.Fatalf("the program ended with %v", status)
			}
			return
		case !status.Stopped():
		case status.StopSignal() == syscall.SIGTRAP|0x80:
			s.call(tid)
		case status.StopSignal() != syscall.SIGTRAP && status.StopSignal() != syscall.SIGSTOP:
			signal = int(status.StopSignal())
		}
	}
}

// call is told of the begin and of the end of each call.
func (s *tracer) call(tid int) {
	if s.inside[tid] = !s.inside[tid]; !s.inside[tid] {
		return
	}
	var regs syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(tid, &regs); err != nil || !changes[regs.Orig_rax] {
		return
	}
	if state := s.state(); state != s.last {
		s.last = state
		to := filepath.Join(s.into, strconv.Itoa(len(s.taken)))
		s.copy(to)
		s.taken = append(s.taken, to)
	}
}

// state is what tells whether something has changed.
func (s *tracer) state() (out string) {
	entries, _ := os.ReadDir(s.dir)
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			out += fmt.Sprintln(e.Name(), info.Size(), info.ModTime().UnixNano(), info.Mode())
		}
	}
	return out
}

// copy copies the files of the folder, with holes for zeros, and one with two names as such.
func (s *tracer) copy(to string) {
	if err := os.MkdirAll(to, 0o700); err != nil {
		s.t.Fatal(err)
	}
	entries, _ := os.ReadDir(s.dir)
	copied := map[uint64]string{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			s.t.Fatal(err)
		}
		path, inode := filepath.Join(to, e.Name()), info.Sys().(*syscall.Stat_t).Ino
		if first, ok := copied[inode]; ok {
			err = os.Link(first, path)
		} else {
			err = copySparse(filepath.Join(s.dir, e.Name()), path)
		}
		if err != nil {
			s.t.Fatal(err)
		}
		copied[inode] = path
	}
}

func copySparse(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	const seekData, seekHole = 3, 4
	err = out.Truncate(info.Size())
	for at := int64(0); err == nil; {
		begin, e := in.Seek(at, seekData)
		if e != nil { // no more data
			break
		}
		end, e := in.Seek(begin, seekHole)
		if e != nil {
			end = info.Size()
		}
		buf := make([]byte, end-begin)
		if _, err = in.ReadAt(buf, begin); err == nil {
			_, err = out.WriteAt(buf, begin)
		}
		at = end
	}
	return errors.Join(err, out.Close())
}
