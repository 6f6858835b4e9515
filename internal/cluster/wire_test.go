package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// request is what the test sends to a peer: one line of JSON, with one in return.
type request struct {
	What    what
	Command command // of apply
}

type what string

const (
	apply   what = "apply"   // puts a command into the log
	ask     what = "ask"     // is answered at once
	compare what = "compare" // the same, with the digest
	barrier what = "barrier" // is answered when all before it is applied
)

const (
	dialLimit = time.Second
	callLimit = 5 * time.Second
)

// response is the answer. Status is set for all requests but apply.
type response struct {
	Outcome outcome
	Why     string // of what is no success
	Leader  string // who leads, as far as this peer knows
	Answer  answer
	Term    uint64 // of the entry
	Status  status
}

type outcome string

const (
	success outcome = "success"
	failure outcome = "failure" // certainly, nothing was and nothing will be changed
	unknown outcome = "unknown" // it may happen yet
)

// status is where a peer is.
type status struct {
	Leader  bool
	Term    uint64
	First   uint64 // of the log
	Last    uint64
	Applied uint64 // of raft's own entries too
	Index   uint64 // of the last command applied; this and the next are of compare only
	Digest  string
	Damage  string
}

// conn is a connection to a peer, for one goroutine at a time.
type conn struct {
	c   net.Conn
	dec *json.Decoder
	enc *json.Encoder
}

func dial(addr string) (*conn, error) {
	if addr == "" {
		return nil, errors.New("the peer is down")
	}
	c, err := net.DialTimeout("tcp", addr, dialLimit)
	if err != nil {
		return nil, err
	}
	return &conn{c: c, dec: json.NewDecoder(c), enc: json.NewEncoder(c)}, nil
}

func (c *conn) close() { _ = c.c.Close() }

// call sends a request and waits for the answer. After an error the connection is of no more use, and the outcome unknown.
func (c *conn) call(r request) (response, error) {
	var got response
	if err := c.c.SetDeadline(time.Now().Add(callLimit)); err != nil {
		return got, err
	}
	if err := c.enc.Encode(r); err != nil {
		return got, err
	}
	err := c.dec.Decode(&got)
	return got, err
}

// once sends one request over a connection of its own; what is no success is an error.
func once(addr string, r request) (response, error) {
	c, err := dial(addr)
	if err != nil {
		return response{}, err
	}
	defer c.close()
	got, err := c.call(r)
	if err == nil && got.Outcome != success {
		err = fmt.Errorf("%s: %s", r.What, got.Why)
	}
	return got, err
}
