package demo

import (
	"testing"
	"time"
)

func TestMeasure(t *testing.T) {
	hundred := make([]uint32, 100) // 1 … 100 µs, in no order
	for i := range hundred {
		hundred[i] = uint32((i*37)%100 + 1)
	}
	cases := []struct {
		name          string
		writers       []*writer
		p50, p99, top uint32
		perSecond     float64
	}{
		{"nothing", nil, 0, 0, 0, 0},
		{"one", []*writer{{micros: []uint32{8}}}, 8, 8, 8, 0.5},
		{"a hundred by two writers", []*writer{{micros: hundred[:30]}, {micros: hundred[30:]}}, 50, 99, 100, 50},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var r Report
			r.measure(c.writers, 2*time.Second)
			if r.P50Micros != c.p50 || r.P99Micros != c.p99 || r.MaxMicros != c.top || r.WritesPerSecond != c.perSecond {
				t.Errorf("measured %d, %d, %d, %v; want %d, %d, %d, %v",
					r.P50Micros, r.P99Micros, r.MaxMicros, r.WritesPerSecond, c.p50, c.p99, c.top, c.perSecond)
			}
		})
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 123456: "123,456", 1234567: "1,234,567"} {
		if got := Thousands(n); got != want {
			t.Errorf("Thousands(%d) is %q, want %q", n, got, want)
		}
	}
}
