package cli

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/raft-ballast/ballast"
)

// This file is how a text from outside is shown: what a store, the name of a file, a peer, the
// environment or an error holds may be anything, and a terminal does what some of it says. An
// escape sequence moves the cursor, a line break makes a row of a table that is none, a mark for
// right-to-left text turns the order of what follows round.
//
// What stands alone, as an id or a path, is shown by shown or word: as it is where nothing in it is
// special, and otherwise quoted as in Go. Cells of a table, lines and errors, which are put
// together, are escaped in place. Whatever forgets that, a stream escapes.

// printable reports whether a text may go to a terminal as it is: it is UTF-8, and has graphic
// characters and blanks only.
func printable(text string) bool {
	for i, r := range text {
		if r == utf8.RuneError && badByte(text[i:]) || !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// badByte reports whether a text begins with a byte that is no UTF-8, and not with U+FFFD, as which
// it is read.
func badByte(text string) bool {
	_, size := utf8.DecodeRuneInString(text)
	return size == 1
}

// shown is a text that stands alone, for people: in quotes where that is needed to see what is in
// it.
func shown(text string) string {
	if printable(text) {
		return text
	}
	return strconv.Quote(text)
}

// word is a text that stands alone among others, of which it must not seem to be several: an id, an
// address, a key.
func word(text string) string {
	if text == "" || strings.ContainsAny(text, " \"") {
		return strconv.Quote(text)
	}
	return shown(text)
}

// escaped is a text of several parts, in one line: what cannot be shown is written as in a string
// of Go.
func escaped(text string) string {
	if printable(text) {
		return text
	}
	return string(appendEscaped(nil, text, ""))
}

// appendEscaped appends a text of which only the characters that are printable, or in kept, are as
// they were.
func appendEscaped(to []byte, text, kept string) []byte {
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch one := text[:size]; {
		case r == utf8.RuneError && size == 1:
			to = fmt.Appendf(to, `\x%02x`, one)
		case unicode.IsPrint(r), strings.ContainsRune(kept, r):
			to = append(to, one...)
		default:
			quoted := strconv.Quote(one)
			to = append(to, quoted[1:len(quoted)-1]...)
		}
		text = text[size:]
	}
	return to
}

// escapedJSON replaces what JSON allows in a string and a terminal should not get by \u and four
// digits, with the same meaning.
func escapedJSON(b []byte) []byte {
	if isPlain(b) {
		return b
	}
	var out []byte
	for _, r := range string(b) {
		if r == '\n' || unicode.IsPrint(r) {
			out = utf8.AppendRune(out, r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			out = fmt.Appendf(out, `\u%04x`, unit)
		}
	}
	return out
}

// outside is a text from outside in a result: exact in JSON, and for people as shown has it.
type outside string

// String implements fmt.Stringer.
func (o outside) String() string { return shown(string(o)) }

// MarshalText implements encoding.TextMarshaler. JSON has no bytes that are no UTF-8: such a text
// is all its bytes in hexadecimal digits.
func (o outside) MarshalText() ([]byte, error) { return []byte(jsonKey(string(o))), nil }

// jsonKey keeps two texts that are no UTF-8 from becoming the same in JSON.
func jsonKey(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return "0x" + hex.EncodeToString([]byte(text))
}

// errorText is an error in one line. It takes away the prefix that errors of package ballast have,
// and line ends of joined errors.
func errorText(err error, args []string) string {
	text := err.Error()
	names := append(namesIn(err), namesOf(args)...)
	// One may be a part of another.
	slices.SortFunc(names, func(a, b string) int { return len(b) - len(a) })
	for _, name := range names {
		if name != "" && !printable(name) {
			text = strings.ReplaceAll(text, name, strconv.Quote(name))
		}
	}
	text = strings.TrimPrefix(text, "ballast: ")
	text = strings.ReplaceAll(text, ": ballast: ", ": ")
	return escaped(strings.ReplaceAll(strings.TrimSpace(text), "\n", "; "))
}

// oneLine is errorText where the command line has no part in it.
func oneLine(err error) string { return errorText(err, nil) }

// namesIn returns the names of files that an error, or one that it wraps, is about.
func namesIn(err error) (names []string) {
	switch e := err.(type) {
	case nil:
		return nil
	case *fs.PathError:
		names = append(names, e.Path)
	case *os.LinkError:
		names = append(names, e.Old, e.New)
	case *ballast.CorruptionError:
		names = append(names, e.Path)
	case *ballast.LockedError:
		names = append(names, e.Path)
	}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range several.Unwrap() {
			names = append(names, namesIn(one)...)
		}
		return names
	}
	return append(names, namesIn(errors.Unwrap(err))...)
}

// namesOf returns the parts of a command line that an error may show: arguments, and what follows
// the name of an engine or of a flag.
func namesOf(args []string) (names []string) {
	for _, arg := range args {
		if printable(arg) {
			continue
		}
		names = append(names, arg)
		for _, cut := range []string{"=", ":"} {
			if _, rest, ok := strings.Cut(names[len(names)-1], cut); ok {
				names = append(names, rest)
			}
		}
	}
	return names
}
