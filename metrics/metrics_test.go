package metrics

import (
	"reflect"
	"strings"
	"testing"
)

// Each field of Stats is one figure, and sums as its kind does.
func TestFigures(t *testing.T) {
	fields := reflect.TypeFor[Stats]()
	if len(figures) != fields.NumField() {
		t.Fatalf("%d figures, %d fields", len(figures), fields.NumField())
	}
	names := map[string]bool{}
	for d := range Distributions {
		names[d.Name()] = true
		if d.Help() == "" {
			t.Errorf("%s has no help", d.Name())
		}
	}
	for _, f := range Figures() {
		if names[f.Name] || f.Help == "" || f.Counter != strings.HasSuffix(f.Name, "_total") {
			t.Errorf("the figure %+v", f)
		}
		names[f.Name] = true
	}
	for i := range fields.NumField() {
		var s Stats
		field := reflect.ValueOf(&s).Elem().Field(i)
		field.Set(reflect.ValueOf(3).Convert(field.Type()))
		for k, f := range figures {
			if want := 3.0; k == i && f.Value(&s) != want || k != i && f.Value(&s) != 0 {
				t.Errorf("%s is %v when %s is 3", f.Name, f.Value(&s), fields.Field(i).Name)
			}
		}
		var sources Sources
		sources.Attach(func() Stats { return s })
		detach := sources.Attach(func() Stats { return s })
		f := figures[i]
		sum := sources.Stats()
		if want := map[bool]float64{false: 6, true: 3}[f.Name == "stalled_seconds"]; f.Value(&sum) != want {
			t.Errorf("%s of two stores is %v", f.Name, f.Value(&sum))
		}
		detach()
		detach()
		sum = sources.Stats()
		if want := map[bool]float64{false: 3, true: 6}[f.Counter]; f.Value(&sum) != want {
			t.Errorf("%s when one is closed is %v", f.Name, f.Value(&sum))
		}
	}
}
