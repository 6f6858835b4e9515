package displaced

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/hashicorp/raft"

	"github.com/raft-ballast/ballast"
	"github.com/raft-ballast/ballast/badgerstore"
	"github.com/raft-ballast/ballast/boltstore"
	"github.com/raft-ballast/ballast/metrics"
	"github.com/raft-ballast/ballast/wal"
)

// childName is the environment variable that makes this program one of the two processes, with the
// name that its entries have.
const childName = "BALLAST_DISPLACED_CHILD"

func TestMain(m *testing.M) {
	if name := os.Getenv(childName); name != "" {
		(&child{name: name}).serve(os.Stdin, os.Stdout)
		return
	}
	os.Exit(m.Run())
}

// child is a process with a store. It takes commands by lines and answers each with one.
type child struct {
	metrics.Sources
	name   string
	store  ballast.Store
	close  func() error
	failed func() error // of wal's Stats
}

// Observe implements metrics.Sink.
func (c *child) Observe(metrics.Distribution, float64) {}

func (c *child) serve(in io.Reader, out io.Writer) {
	for lines := bufio.NewScanner(in); lines.Scan(); {
		command, arg, _ := strings.Cut(lines.Text(), " ")
		answer, err := c.do(command, arg)
		if err != nil {
			answer = "error " + strconv.Quote(err.Error())
		}
		fmt.Fprintln(out, answer)
	}
}

func (c *child) do(command, arg string) (string, error) {
	switch command {
	case "chdir":
		return "ok", os.Chdir(arg)
	case "open":
		engine, path, _ := strings.Cut(arg, ":")
		return "ok", c.open(engine, path)
	case "append":
		return "ok", c.append()
	case "vote":
		return "ok", c.store.SetUint64([]byte("CurrentTerm"), uint64(c.name[0]))
	case "look":
		return c.look()
	case "failed":
		return fmt.Sprint(c.Stats().Failed, " ", c.failed != nil && c.failed() == nil), nil
	case "close":
		return "ok", c.close()
	}
	return "", fmt.Errorf("there is no command %q", command)
}

const entryBytes = 250 << 10 // four are more than a segment takes

func (c *child) open(engine, path string) (err error) {
	c.Sources, c.failed = metrics.Sources{}, nil
	switch engine {
	case "wal":
		var s *wal.Store
		if s, err = wal.Open(path, &wal.Options{SegmentBytes: 1 << 20, Metrics: c}); err == nil {
			c.store, c.close, c.failed = s, s.Close, func() error { return s.Stats().Failed }
		}
	case "groups":
		var gs *wal.Groups
		opts := &wal.Options{SegmentBytes: 1 << 20, Metrics: c}
		if gs, err = wal.OpenGroups(path, opts); err == nil {
			c.close, c.failed = gs.Close, func() error { return gs.Stats().Failed }
			c.store, err = gs.Store(7)
		}
	case "bolt", "bolt in a folder":
		if engine != "bolt" {
			if err := os.MkdirAll(path, 0o700); err != nil {
				return err
			}
			path = filepath.Join(path, "raft.db")
		}
		var s *boltstore.Store
		if s, err = boltstore.Open(path, &boltstore.Options{Metrics: c}); err == nil {
			c.store, c.close = s, s.Close
		}
	case "badger":
		var s *badgerstore.Store
		opts := &badgerstore.Options{
			MaxEntryBytes: entryBytes, GCInterval: -1, ReserveBytes: -1, Metrics: c,
		}
		opts.Badger = func(o *badger.Options) {
			o.MemTableSize, o.ValueThreshold, o.ValueLogFileSize = 1<<20, 32<<10, 1<<20
		}
		if s, err = badgerstore.Open(path, opts); err == nil {
			c.store, c.close = s, s.Close
		}
	}
	return err
}

// append adds an entry behind the last one.
func (c *child) append() error {
	last, err := c.store.LastIndex()
	if err != nil {
		return err
	}
	data := []byte(strings.Repeat(c.name, entryBytes))
	return c.store.StoreLog(&raft.Log{Index: last + 1, Term: uint64(c.name[0]), Data: data})
}

// look reads all there is, and answers how many entries there are. What is another one's, or does
// not read, is an error.
func (c *child) look() (string, error) {
	first, err := c.store.FirstIndex()
	last, e := c.store.LastIndex()
	if err = errors.Join(err, e); err != nil {
		return "", err
	}
	if first > 1 {
		return "", fmt.Errorf("the first entry is %d", first)
	}
	for index := first; index <= last && last > 0; index++ {
		var log raft.Log
		if err := c.store.GetLog(index, &log); err != nil {
			return "", err
		}
		if log.Term != uint64(c.name[0]) || string(log.Data) != strings.Repeat(c.name, entryBytes) {
			return "", fmt.Errorf("entry %d is another store's", index)
		}
	}
	term, err := c.store.GetUint64([]byte("CurrentTerm"))
	if errors.Is(err, ballast.ErrKeyNotFound) {
		term, err = math.MaxUint64, nil
	}
	if term != uint64(c.name[0]) && term != math.MaxUint64 {
		return "", fmt.Errorf("the term is %d", term)
	}
	return fmt.Sprint(last), err
}

// peer is a child as its parent sees it.
type peer struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	count int // of entries that were acknowledged
}

func startPeer(t *testing.T, name string) *peer {
	t.Helper()
	p := &peer{t: t, name: name}
	p.cmd = exec.Command(os.Args[0], "-test.run=^$")
	p.cmd.Env = append(os.Environ(), childName+"="+name)
	p.cmd.Stderr = os.Stderr
	var err error
	p.in, err = p.cmd.StdinPipe()
	must(t, err)
	out, err := p.cmd.StdoutPipe()
	must(t, err)
	p.out = bufio.NewReader(out)
	must(t, p.cmd.Start())
	t.Cleanup(p.end)
	return p
}

// end ends the process as it is.
func (p *peer) end() {
	_ = p.in.Close()
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// ask has a command done, which may fail.
func (p *peer) ask(command ...string) (string, error) {
	p.t.Helper()
	_, err := fmt.Fprintln(p.in, strings.Join(command, " "))
	must(p.t, err)
	answer, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatalf("%s has ended in %q: %v", p.name, command, err)
	}
	answer = strings.TrimSuffix(answer, "\n")
	if quoted, ok := strings.CutPrefix(answer, "error "); ok {
		text, err := strconv.Unquote(quoted)
		must(p.t, err)
		return "", errors.New(text)
	}
	return answer, nil
}

// do has one done, which must not fail.
func (p *peer) do(command ...string) string {
	p.t.Helper()
	answer, err := p.ask(command...)
	if err != nil {
		p.t.Fatalf("%s: %q: %v", p.name, command, err)
	}
	return answer
}

// append adds up to n entries, and returns the error of the one that was refused.
func (p *peer) append(n int) error {
	p.t.Helper()
	for range n {
		if _, err := p.ask("append"); err != nil {
			return err
		}
		p.count++
	}
	return nil
}

// check fails unless the store holds exactly what it has acknowledged.
func (p *peer) check() {
	p.t.Helper()
	if got := p.do("look"); got != strconv.Itoa(p.count) {
		p.t.Errorf("%s has %s entries, %d were acknowledged", p.name, got, p.count)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
