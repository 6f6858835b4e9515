package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/raft"
	"github.com/spf13/cobra"
)

const dumpLong = `Shows the entries of a log, in the order of their indexes: all of them, or those of a range, a term
or a type.

As a table, each entry is a line. The data of a configuration are the peers; that of a command is
shown as --data says: auto takes JSON, a text, MessagePack, or MessagePack behind one byte, as the
commands of Consul and Nomad are, whichever fits first, and otherwise hexadecimal digits. --decoder
runs a command for each entry that is no configuration, with the data as its standard input and
BALLAST_INDEX, BALLAST_TERM and BALLAST_TYPE in its environment, and shows what it prints.

With --json each entry is an object in a line: index, term, type, data and extensions in base64,
appended_at when it is known, servers of a configuration, decoded with --decoder. With --raw it is
the data alone, one behind the other.

--follow goes on with what is added to a wal, until --to or --limit is reached, or it is ended with
Ctrl-C. Entries that raft has replaced since they were shown are shown again as they are now; that, and
entries that were deleted before they could be shown, is told on standard error.

An entry that is damaged is told on standard error, and the rest goes on. That there is nothing to show
is no failure.

` + groupHelp + `

` + exitHelp

const dumpExample = `  ballast dump /var/lib/app/raft --from 1000 --to 1010
  ballast dump bolt:/var/lib/app/raft.db --type Configuration
  ballast dump wal:/var/lib/app/wal --json --type Command | jq -r .data | base64 -d
  ballast dump wal:/var/lib/app/wal --decoder 'protoc --decode app.Command app.proto'
  ballast dump wal:/var/lib/app/wal --follow --from 100000`

// defaultWidth is that of the data in a table, in characters.
const defaultWidth = 100

// dumpFlags are the flags of ballast dump.
type dumpFlags struct {
	from, to, term uint64
	types          []string
	limit          uint64
	json, raw      bool
	data           string
	decoder        string
	width          int
	follow         bool
	group          groupFlag
}

func newDump(s streams) *cobra.Command {
	var f dumpFlags
	cmd := &cobra.Command{
		Use:     "dump STORE",
		Short:   "Show the entries of a log",
		Long:    dumpLong,
		Example: dumpExample,
		Args:    storeArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := newDumper(s, f, cmd.Flags().Changed)
			if err != nil {
				return err
			}
			return d.run(cmd.Context(), args[0])
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.Uint64Var(&f.from, "from", 0, "the first index to show (default the first there is)")
	flags.Uint64Var(&f.to, "to", 0, "the last index to show (default the last there is)")
	flags.Uint64Var(&f.term, "term", 0, "show entries of this term only")
	flags.StringSliceVar(&f.types, "type", nil, "show entries of these types only: Command, Noop, Barrier, Configuration and others, or numbers")
	flags.Uint64Var(&f.limit, "limit", 0, "show so many entries at most")
	flags.BoolVar(&f.json, "json", false, "print one object of JSON a line")
	flags.BoolVar(&f.raw, "raw", false, "print the data only, one behind the other")
	flags.StringVar(&f.data, "data", "auto", "how the data of commands is shown: "+strings.Join(dataForms, ", "))
	flags.StringVar(&f.decoder, "decoder", "", "a command, run by sh, that gets the data of an entry and prints what is shown")
	flags.IntVar(&f.width, "width", defaultWidth, "how many characters of the data are shown; 0 for all")
	f.group.add(cmd)
	flags.BoolVar(&f.follow, "follow", false, "go on with what is added to a wal")
	return cmd
}

// dumper shows entries.
type dumper struct {
	streams
	dumpFlags
	wanted    []raft.LogType // nil for all
	hasTerm   bool
	widths    struct{ index, term int } // of the columns
	shown     uint64
	damaged   uint64
	undecoded error // the first time that the decoder failed
}

// newDumper checks the flags.
func newDumper(s streams, f dumpFlags, given func(flag string) bool) (*dumper, error) {
	d := &dumper{streams: s, dumpFlags: f, hasTerm: given("term")}
	switch {
	case f.json && f.raw:
		return nil, usagef("--json and --raw exclude each other; give one of them")
	case f.raw && f.decoder != "":
		return nil, usagef("--raw and --decoder exclude each other; give one of them")
	case (f.json || f.raw) && (given("data") || given("width")):
		return nil, usagef("--data and --width are for the table; leave them out with --json and --raw")
	case given("to") && f.to < f.from:
		return nil, usagef("--from is %d and --to is %d; give a range that goes up", f.from, f.to)
	case f.width < 0:
		return nil, usagef("--width is %d; give 0 or more", f.width)
	case given("limit") && f.limit == 0:
		return nil, usagef("--limit is 0; give 1 or more")
	}
	if !given("to") {
		d.to = math.MaxUint64
	}
	for _, text := range f.types {
		t, err := parseType(text)
		if err != nil {
			return nil, err
		}
		d.wanted = append(d.wanted, t)
	}
	return d, checkDataForm(f.data)
}

// errEnough ends a scan: as many entries were shown as were wanted.
var errEnough = errors.New("enough")

func (d *dumper) run(ctx context.Context, name string) (err error) {
	src, err := openGroup(name, d.group)
	if err != nil {
		return err
	}
	if d.follow {
		return d.followLog(ctx, src)
	}
	defer closing(src, &err)
	if err := d.begin(src); err != nil {
		return err
	}
	first, last, err := src.bounds()
	if err != nil {
		return err
	}
	// Where entries go to the terminal they are the progress.
	r := newReading(d.streams, max(first, d.from), min(last, d.to))
	if d.out.terminal() {
		r.w = nil
	}
	err = src.scan(r, max(first, d.from), min(last, d.to), d.entry, d.damage)
	if err == nil && d.shown == 0 && d.damaged == 0 && !d.json && !d.raw {
		d.nothing(first, last)
	}
	if err = d.end(err); err == nil {
		err = src.whole()
	}
	return err
}

// nothing tells whoever looks at the table that no entry is what was asked for.
func (d *dumper) nothing(first, last uint64) {
	there := "the log has none"
	if last > 0 {
		there = "the log has " + indexRange{first, last}.String()
	}
	d.tell("no entry to show; %s", there)
}

// end turns what ended a scan into the command's error.
func (d *dumper) end(err error) error {
	switch {
	case err != nil && !errors.Is(err, errEnough):
		return err
	case d.damaged > 0:
		return exitStatus(ExitCorrupt)
	}
	return d.undecoded
}

// begin writes the head of the table. Its columns are wide enough for the last entry, so that the first ones need not wait for it.
func (d *dumper) begin(src *source) error {
	_, last, err := src.bounds()
	if err != nil {
		return err
	}
	var log raft.Log
	if last > 0 && src.GetLog(last, &log) != nil {
		log.Term = 0 // whoever reads it is told
	}
	d.widths.index = max(len("INDEX"), len(strconv.FormatUint(last, 10)))
	d.widths.term = max(len("TERM"), len(strconv.FormatUint(log.Term, 10)))
	if d.json || d.raw {
		return nil
	}
	return d.row("INDEX", "TERM", "TYPE", "BYTES", "APPENDED", "DATA")
}

// damage tells of entries that cannot be read.
func (d *dumper) damage(what damageJSON) error {
	d.damaged++
	d.tell("damaged %s", what.line())
	return nil
}

// entry shows an entry, if it is wanted.
func (d *dumper) entry(log *raft.Log) error {
	if d.hasTerm && log.Term != d.term || d.wanted != nil && !slices.Contains(d.wanted, log.Type) {
		return nil
	}
	if err := d.show(log); err != nil {
		return err
	}
	if d.shown++; d.shown == d.limit {
		return errEnough
	}
	return nil
}

func (d *dumper) show(log *raft.Log) error {
	switch {
	case d.raw:
		_, err := d.out.raw().Write(log.Data)
		return err
	case d.json:
		out := newEntryJSON(log)
		if d.decodes(log) {
			text := outside(d.decode(log))
			out.Decoded = &text
		}
		return writeJSON(d.out, out)
	}
	appended := "-"
	if !log.AppendedAt.IsZero() {
		appended = log.AppendedAt.UTC().Format("2006-01-02T15:04:05.000Z")
	}
	return d.row(strconv.FormatUint(log.Index, 10), strconv.FormatUint(log.Term, 10), typeName(log.Type),
		strconv.Itoa(len(log.Data)), appended, d.text(log))
}

const (
	typeWidth     = len("RemovePeerDeprecated")
	bytesWidth    = len("67108864")
	appendedWidth = len("2006-01-02T15:04:05.000Z")
)

// row writes a line of the table. Text of several lines stands below it.
func (d *dumper) row(index, term, kind, size, appended, data string) error {
	line := fmt.Sprintf("%*s  %*s  %-*s  %*s  %-*s  ", d.widths.index, index, d.widths.term, term, typeWidth, kind,
		bytesWidth, size, appendedWidth, appended)
	if strings.Contains(data, "\n") {
		line, data = strings.TrimRight(line, " "), "\n    "+strings.ReplaceAll(data, "\n", "\n    ")
	}
	_, err := fmt.Fprintln(d.out, strings.TrimRight(line+data, " "))
	return err
}

// text is the data of an entry in the table.
func (d *dumper) text(log *raft.Log) string {
	if log.Type == raft.LogConfiguration {
		if c, err := decodeConfiguration(log.Data); err == nil {
			return serversText(c)
		}
	}
	if d.decodes(log) {
		return d.decode(log)
	}
	return dataText(log.Data, d.data, d.width)
}

func (d *dumper) decodes(log *raft.Log) bool {
	return d.decoder != "" && log.Type != raft.LogConfiguration
}

// decode runs the user's decoder. When it fails that is shown in its place, and the rest goes on.
func (d *dumper) decode(log *raft.Log) string {
	cmd := exec.Command("sh", "-c", d.decoder)
	cmd.Env = append(os.Environ(), fmt.Sprintf("BALLAST_INDEX=%d", log.Index), fmt.Sprintf("BALLAST_TERM=%d", log.Term),
		"BALLAST_TYPE="+typeName(log.Type))
	cmd.Stdin = bytes.NewReader(log.Data)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		failure := fmt.Errorf("the decoder failed on entry %d: %w", log.Index, err)
		if first, _, _ := strings.Cut(strings.TrimSpace(complaint.String()), "\n"); first != "" {
			failure = fmt.Errorf("%w (%s)", failure, first)
		}
		if d.undecoded == nil {
			d.undecoded = failure
		}
		return "(" + failure.Error() + ")"
	}
	return strings.TrimRight(strings.ReplaceAll(out.String(), "\r\n", "\n"), "\n")
}
