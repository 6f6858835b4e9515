package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// hangLimit is what a trial may take. It is far more than any needs, also where the machine is busy.
	hangLimit = 20 * time.Second

	// childTrials is how many folders a child process tries: stores that panic or refuse may leave memory and files behind.
	childTrials = 60
)

// kid is the child process that opens what was damaged; a new one when the last one died.
type kid struct {
	store string
	seed  uint64
	dir   string

	n       int // trials
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers chan []byte // closed when the process has ended
	stderr  *bytes.Buffer
}

func (k *kid) start() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	k.cmd = exec.Command(self)
	k.cmd.Env = append(os.Environ(), childEnv+"="+k.store, fmt.Sprintf("%s=%d", seedEnv, k.seed), "GOMEMLIMIT=1GiB")
	k.stderr = new(bytes.Buffer)
	k.cmd.Stderr = k.stderr
	if k.in, err = k.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := k.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	k.answers = make(chan []byte)
	if err := k.cmd.Start(); err != nil {
		return err
	}
	go func(answers chan<- []byte) {
		defer close(answers)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if line := lines.Bytes(); bytes.HasPrefix(line, []byte("{")) { // not what a store prints
				answers <- bytes.Clone(line)
			}
		}
	}(k.answers)
	return nil
}

// stop ends the process, if there is one.
func (k *kid) stop() {
	if k.cmd == nil {
		return
	}
	_ = k.in.Close()
	_ = k.cmd.Process.Kill()
	for range k.answers { // until its output has ended
	}
	_ = k.cmd.Wait() // it was killed
	k.cmd = nil
}

// try writes the files into a folder and has the child look at it.
func (k *kid) try(all files) (outcome, string, error) {
	if k.n%childTrials == 0 {
		k.stop()
	}
	k.n++
	dir := filepath.Join(k.dir, fmt.Sprint(k.n))
	defer os.RemoveAll(dir)
	if err := all.write(dir); err != nil {
		return "", "", err
	}
	if k.cmd == nil {
		if err := k.start(); err != nil {
			return "", "", err
		}
	}
	if _, err := fmt.Fprintln(k.in, dir); err != nil {
		return k.died()
	}
	select {
	case b, ok := <-k.answers:
		if !ok {
			return k.died()
		}
		var a answer
		err := json.Unmarshal(b, &a)
		return a.Outcome, a.Message, err
	case <-time.After(hangLimit):
		k.stop()
		return hung, "", nil
	}
}

// died says why the process has ended by itself.
func (k *kid) died() (outcome, string, error) {
	k.stop()
	first, _, _ := strings.Cut(strings.TrimSpace(k.stderr.String()), "\n")
	return panicked, first, nil
}
