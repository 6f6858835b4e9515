package demo

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"

	"github.com/hashicorp/raft"
)

// peerStatus is the answer to opBarrier, and for each group that to opStatus.
type peerStatus struct {
	status
	Leader bool   `json:"leader"`
	Term   uint64 `json:"term"`
}

func (r *replica) status() peerStatus {
	return peerStatus{
		status: r.machine.status(),
		Leader: r.raft.State() == raft.Leader,
		Term:   r.raft.CurrentTerm(),
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
	if op == opStatus {
		all := make([]peerStatus, len(p.replicas))
		for g, r := range p.replicas {
			all[g] = r.status()
		}
		return json.Marshal(all)
	}
	if len(body) < groupBytes || binary.BigEndian.Uint32(body) >= uint32(len(p.replicas)) {
		return nil, &refusedError{"there is no such raft group"}
	}
	return p.replicas[binary.BigEndian.Uint32(body)].handle(op, body[groupBytes:])
}

func (r *replica) handle(op byte, body []byte) ([]byte, error) {
	switch op {
	case opPut:
		return nil, r.put(body)
	case opGet:
		return r.getAll(body)
	case opBarrier:
		if err := r.raft.Barrier(enqueueTimeout).Error(); err != nil {
			return nil, err
		}
		return json.Marshal(r.status())
	case opLead:
		return nil, r.raft.LeadershipTransferToServer(raft.ServerID(body), raft.ServerAddress(body)).Error()
	case opSnapshot:
		err := r.raft.Snapshot().Error()
		if errors.Is(err, raft.ErrNothingNewToSnapshot) {
			err = nil
		}
		return nil, err
	default:
		return nil, &refusedError{fmt.Sprintf("operation %d is not known", op)}
	}
}

// put returns nil only when a majority has the command in its store and this leader has applied it.
func (r *replica) put(command []byte) error {
	if _, _, err := decodeCommand(command); err != nil {
		return &refusedError{err.Error()}
	}
	future := r.raft.Apply(command, enqueueTimeout)
	if err := future.Error(); err != nil {
		return err
	}
	if err, failed := future.Response().(error); failed {
		return &refusedError{err.Error()}
	}
	return nil
}

func (r *replica) getAll(keys []byte) ([]byte, error) {
	var answer []byte
	for len(keys) > 0 {
		key, rest, err := nextField(keys)
		if err != nil {
			return nil, &refusedError{err.Error()}
		}
		keys = rest
		value, ok := r.machine.get(key)
		if !ok {
			answer = append(answer, 0)
			continue
		}
		answer = appendField(append(answer, 1), value)
	}
	return answer, nil
}
