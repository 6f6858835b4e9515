package engine

import "errors"

// ErrSharedLog is matched by the errors of what takes the log of one raft group and got one of several.
var ErrSharedLog = errors.New("the log of several raft groups")
