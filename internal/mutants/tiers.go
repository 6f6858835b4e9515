package main

import (
	"os"
	"slices"
	"strings"
)

// tier is a group of tests.
type tier struct {
	name string
	pkg  string   // as the go command takes it, relative to the module
	run  []string // expressions for names of tests, as go test takes them; each has to match one. Without any it is what no other tier of the package has
	root bool     // only root can run it
}

// tiers are run in this order, those that look for nothing but faults first.
var tiers = []tier{
	{name: "crash", pkg: "./wal", run: []string{"^TestCrash", "^TestStaleBytes$", "^TestForgedFrames$", "^TestCutFirstFrame$",
		"^TestMarkerOfAFailedSync$", "^TestNameOfTheNextSegment$", "^TestRecyclingBesideRotation$", "^TestNothingIsRemoved",
		"^TestRemovedFileComesBack$"}},
	{name: "faults", pkg: "./wal", run: []string{"^TestFault", "^TestFailed(Rotation|FolderSync|Recycling|Call|Reads|Zeros)", "^TestEveryFault$",
		"^TestDiskFull", "^TestNoSpace", "^TestNoSyncTwice$", "^TestFolderSync", "^TestDoubt$", "^TestUnknown(Marker|End)$", "^TestSharedFrameFails$", "^TestNewLogWithoutSpace$", "^TestOpenWithoutSpace$", "^TestRecyclingWithoutSpace$"}},
	{name: "flips", pkg: "./wal", run: []string{"^TestFlip", "^TestLost", "^TestShorter", "^TestMissing", "^TestDamaged", "^TestBelieved",
		"^TestRecycledDeletion$"}},
	{name: "fuzz", pkg: "./wal", run: []string{"^Fuzz", "^TestFrameOutOfPlace$", "^TestPartOfARecord$"}}, // with what is kept as seeds
	{name: "killed", pkg: "./wal", run: []string{"^TestKilled"}},
	{name: "contract", pkg: "./wal", run: []string{"^TestConformance"}},
	{name: "format", pkg: "./wal", run: []string{"^TestGolden", "^TestFormat", "^TestReleases", "^TestUnknown(Records|Kind)"}},
	{name: "cases", pkg: "./wal"},
	{name: "vfs", pkg: "./internal/vfs"}, // what wal stands on
	{name: "powercut", pkg: "./internal/powercut", run: []string{"^TestPowerCut$/./^wal$"}, root: true},
}

// tiersOf returns the tiers for a fault in the order in which they are tried.
func (m *mutant) tiersOf() (all []tier) {
	for _, t := range tiers {
		if len(m.tiers) == 0 && t.pkg == "./wal" || slices.Contains(m.tiers, t.name) {
			all = append(all, t)
		}
	}
	slices.SortStableFunc(all, func(a, b tier) int {
		switch {
		case a.name == m.first && b.name != m.first:
			return -1
		case b.name == m.first && a.name != m.first:
			return 1
		}
		return 0
	})
	return all
}

// filter returns what the test binary is told, to run only this tier.
func (t *tier) filter() []string {
	if len(t.run) > 0 {
		return []string{"-test.run=" + strings.Join(t.run, "|")}
	}
	var others []string
	for _, o := range tiers {
		if o.pkg == t.pkg {
			others = append(others, o.run...)
		}
	}
	if len(others) == 0 {
		return nil
	}
	return []string{"-test.skip=" + strings.Join(others, "|")}
}

// missing says why a tier cannot be run here, "" when it can.
func (t *tier) missing() string {
	if t.root && os.Geteuid() != 0 {
		return "the tier " + t.name + " needs root"
	}
	return ""
}
