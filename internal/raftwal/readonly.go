package raftwal

import (
	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
)

// readOnly is what every call that writes returns.
func (l *Log) readOnly() error {
	if err := l.gate.Enter(); err != nil {
		return err
	}
	defer l.gate.Leave()
	return ballast.ErrReadOnly
}

// StoreLog returns [ballast.ErrReadOnly].
func (l *Log) StoreLog(*raft.Log) error { return l.readOnly() }

// StoreLogs returns [ballast.ErrReadOnly].
func (l *Log) StoreLogs([]*raft.Log) error { return l.readOnly() }

// DeleteRange returns [ballast.ErrReadOnly].
func (l *Log) DeleteRange(_, _ uint64) error { return l.readOnly() }

// Set returns [ballast.ErrReadOnly].
func (l *Log) Set(_, _ []byte) error { return l.readOnly() }

// SetUint64 returns [ballast.ErrReadOnly].
func (l *Log) SetUint64([]byte, uint64) error { return l.readOnly() }

// StageCommitIndex returns [ballast.ErrReadOnly].
func (l *Log) StageCommitIndex(uint64) error { return l.readOnly() }
