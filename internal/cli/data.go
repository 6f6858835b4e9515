package cli

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// dataForms are how data may be shown. auto takes the first of the others that fits.
var dataForms = []string{"auto", "text", "json", "msgpack", "hex"}

func checkDataForm(form string) error {
	if slices.Contains(dataForms, form) {
		return nil
	}
	return usagef("--data is %q; give one of %s", form, strings.Join(dataForms, ", "))
}

// dataText shows data in one line of about width characters, or all of it when width is 0.
func dataText(data []byte, form string, width int) string {
	switch {
	case len(data) == 0:
		return ""
	case form == "text":
		return shorten(quoted(data, width), width)
	case form == "json":
		if text, ok := jsonText(data); ok {
			return shorten(text, width)
		}
		return shorten("not JSON: "+hexText(data, width), width)
	case form == "msgpack":
		if text, ok := commandText(data); ok {
			return shorten(text, width)
		}
		if text, err := msgpackText(data); err == nil {
			return shorten(text, width)
		}
		return shorten("not MessagePack: "+hexText(data, width), width)
	case form == "hex":
		return shorten(hexText(data, width), width)
	}
	if text, ok := jsonText(data); ok && (data[0] == '{' || data[0] == '[') {
		return shorten(text, width)
	}
	if isText(data) {
		return shorten(quoted(data, width), width)
	}
	if text, ok := commandText(data); ok {
		return shorten(text, width)
	}
	return shorten(hexText(data, width), width)
}

func jsonText(data []byte) (string, bool) {
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil || !utf8.Valid(data) {
		return "", false
	}
	return string(escapedJSON(b.Bytes())), true
}

// isText reports whether data is something to read.
func isText(data []byte) bool {
	if !utf8.Valid(data) {
		return false
	}
	return bytes.IndexFunc(data, func(r rune) bool { return !unicode.IsPrint(r) && !strings.ContainsRune("\t\r\n", r) }) < 0
}

// commandText shows what the commands of most services are: MessagePack, a map or a list, maybe behind a byte that says the kind of
// command, as those of Consul and Nomad have.
func commandText(data []byte) (string, bool) {
	for skip := range min(2, len(data)) {
		if !beginsCollection(data[skip:]) {
			continue
		}
		text, err := msgpackText(data[skip:])
		switch {
		case err != nil:
		case skip == 0:
			return text, true
		default:
			return fmt.Sprintf("%d %s", data[0], text), true
		}
	}
	return "", false
}

// quoted and hexText look only at so much of large data as is shown.
func quoted(data []byte, width int) string {
	if width > 0 && len(data) > utf8.UTFMax*width {
		data = data[:utf8.UTFMax*width]
	}
	return strconv.Quote(string(data))
}

func hexText(data []byte, width int) string {
	if width > 0 && len(data) > width {
		data = data[:width]
	}
	return "0x" + hex.EncodeToString(data)
}

// shorten cuts a text to width characters; 0 is no limit.
func shorten(text string, width int) string {
	if width <= 0 || utf8.RuneCountInString(text) <= width {
		return text
	}
	n := 0
	for i := range text {
		if n++; n == width {
			return text[:i] + "…"
		}
	}
	return text
}
