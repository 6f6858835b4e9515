package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestParseList(t *testing.T) {
	got := parseList([]byte("FuzzA\nFuzzB\nok  \texample.org/a\t0.01s\n?   \texample.org/b\t[no test files]\nok  \texample.org/c\t0.02s\nFuzzC\nok  \texample.org/d\t0.01s\n"))
	want := []target{{pkg: "example.org/a", name: "FuzzA"}, {pkg: "example.org/a", name: "FuzzB"}, {pkg: "example.org/d", name: "FuzzC"}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestFigures(t *testing.T) {
	a := target{pkg: "example.org/a", name: "FuzzA"}
	a.read("fuzz: elapsed: 0s, gathering baseline coverage: 0/3 completed\n" +
		"fuzz: elapsed: 3s, execs: 100 (33/sec), new interesting: 2 (total: 5)\n" +
		"fuzz: elapsed: 6s, execs: 250 (50/sec), new interesting: 4 (total: 7)\nPASS\n")
	b := target{pkg: "example.org/a", name: "FuzzB", crashed: true, told: "Failing input written to testdata/fuzz/FuzzB/0123\n"}
	var out bytes.Buffer
	if err := printTable(&out, []target{a, b}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"250                4        7  0\n", "kept as testdata/fuzz/FuzzB/0123", "2 targets, 250 executions, 1 crashes"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &out)
		}
	}
}

func TestOutOfTime(t *testing.T) {
	end := "--- FAIL: FuzzA (61.02s)\n    context deadline exceeded\nFAIL\nexit status 1\n"
	if !outOfTime(end) {
		t.Error("the end of the time is a crash")
	}
	if outOfTime("Failing input written to testdata/fuzz/FuzzA/01\n"+end) || outOfTime("panic: context deadline exceeded\nFAIL\n") {
		t.Error("a crash is none")
	}
}
