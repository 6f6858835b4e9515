package demo

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"

	"github.com/hashicorp/raft"
)

// peerStatus is the answer to opStatus and opBarrier.
type peerStatus struct {
	status
	Leader bool   `json:"leader"`
	Term   uint64 `json:"term"`
}

func (p *peer) status() peerStatus {
	return peerStatus{
		status: p.machine.status(),
		Leader: p.raft.State() == raft.Leader,
		Term:   p.raft.CurrentTerm(),
	}
}

// serve ends when the listener is closed.
func (p *peer) serve() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.serveConn(c)
	}
}

func (p *peer) serveConn(c net.Conn) {
	defer c.Close()
	r, w := bufio.NewReader(c), bufio.NewWriter(c)
	for {
		op, body, err := readFrame(r)
		if err != nil {
			return
		}
		outcome := outcomeOK
		answer, err := p.handle(op, body)
		if err != nil {
			outcome, answer = outcomeUnknown, []byte(err.Error())
			if _, refused := errors.AsType[*refusedError](err); refused {
				outcome = outcomeRefused
			}
		}
		if err := writeFrame(w, outcome, answer); err != nil {
			return
		}
	}
}

func (p *peer) handle(op byte, body []byte) ([]byte, error) {
	switch op {
	case opPut:
		return nil, p.put(body)
	case opGet:
		return p.getAll(body)
	case opStatus:
		return json.Marshal(p.status())
	case opBarrier:
		if err := p.raft.Barrier(enqueueTimeout).Error(); err != nil {
			return nil, err
		}
		return json.Marshal(p.status())
	case opSnapshot:
		err := p.raft.Snapshot().Error()
		if errors.Is(err, raft.ErrNothingNewToSnapshot) {
			err = nil
		}
		return nil, err
	default:
		return nil, &refusedError{fmt.Sprintf("operation %d is not known", op)}
	}
}

// put returns nil only when a majority has the command in its store and this leader has applied it.
func (p *peer) put(command []byte) error {
	if _, _, err := decodeCommand(command); err != nil {
		return &refusedError{err.Error()}
	}
	future := p.raft.Apply(command, enqueueTimeout)
	if err := future.Error(); err != nil {
		return err
	}
	if err, failed := future.Response().(error); failed {
		return &refusedError{err.Error()}
	}
	return nil
}

func (p *peer) getAll(keys []byte) ([]byte, error) {
	var answer []byte
	for len(keys) > 0 {
		key, rest, err := nextField(keys)
		if err != nil {
			return nil, &refusedError{err.Error()}
		}
		keys = rest
		value, ok := p.machine.get(key)
		if !ok {
			answer = append(answer, 0)
			continue
		}
		answer = appendField(append(answer, 1), value)
	}
	return answer, nil
}
