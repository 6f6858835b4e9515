package engine

import (
	"os"
	"reflect"
	"strings"
)

// IsFile reports whether a store of type S lies in one file.
func IsFile[S any]() bool {
	t := reflect.TypeFor[S]()
	return t.Kind() == reflect.Pointer && strings.HasSuffix(t.Elem().PkgPath(), "ballast/boltstore")
}

// SamePlace reports whether two paths lead to the same place, through links too.
func SamePlace(a, b string) bool {
	if resolved(a) == resolved(b) {
		return true
	}
	infoA, err1 := os.Stat(a)
	infoB, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(infoA, infoB)
}
