package vfs

// Op is a method of [FS] or [File].
type Op uint8

const (
	OpMkdirAll Op = iota
	OpList
	OpCreate
	OpOpen
	OpOpenRead
	OpRename
	OpRemove
	OpSyncDir
	OpLock
	OpRead
	OpWrite
	OpAllocate
	OpTruncate
	OpSync
	OpSize
	OpClose
	OpHold
)

// The names are the ones that errors of package os have in their Op, where there is one.
var opNames = [...]string{
	OpMkdirAll: "mkdir",
	OpList:     "list",
	OpCreate:   "create",
	OpOpen:     "open",
	OpOpenRead: "open for reading",
	OpRename:   "rename",
	OpRemove:   "remove",
	OpSyncDir:  "sync folder",
	OpLock:     "lock",
	OpRead:     "read",
	OpWrite:    "write",
	OpAllocate: "allocate",
	OpTruncate: "truncate",
	OpSync:     "sync",
	OpSize:     "size",
	OpClose:    "close",
	OpHold:     "hold",
}

func (o Op) String() string { return opNames[o] }
