package vfs

import (
	"os"
	"syscall"
)

func links(f *os.File) (int, error) {
	var info syscall.ByHandleFileInformation
	if err := syscall.GetFileInformationByHandle(syscall.Handle(f.Fd()), &info); err != nil {
		return 0, &os.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return int(info.NumberOfLinks), nil
}
