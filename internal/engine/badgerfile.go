package engine

import "regexp"

var badgerFile = regexp.MustCompile(`^(KEYREGISTRY|REWRITE-KEYREGISTRY|DISCARD|[0-9]{6,}\.(sst|vlog)|[0-9]{5,}\.mem)$`)

// BadgerFile reports whether a name is that of a file which badger makes in a directory when that
// has a manifest already. Where there is none it is part of a store, which no engine may take for
// an empty folder. A table, with the ending .sst, may be another program's.
func BadgerFile(name string) bool { return badgerFile.MatchString(name) }
