package wal

import "testing"

// TestDamagedLastFrame has runs of zeros in the frames that end a log. A write that was cut off leaves whole sectors as they
// were, so a run that is not all of a frame's part of a sector is damage, however much it looks like the end.
func TestDamagedLastFrame(t *testing.T) {
	for _, kind := range imageKinds {
		im := newImage(t, kind)
		c := &trials{name: "last frames: " + kind.name}
		for i := max(1, len(im.starts)-4); i < len(im.starts); i++ {
			start, end := im.starts[i], im.ends[i]
			for _, from := range []int64{0, 8, frameHeaderBytes} {
				for _, n := range []int64{8, 32, frameHeaderBytes, frameHeaderBytes + 8, 2 * frameHeaderBytes, recordHeaderBytes} {
					mem := im.full.Clone()
					im.overwrite(mem, im.tail, start+from, zeroBlock[:min(n, end-start-from)])
					c.add(im, mem, "%d zeros at %d in frame %d, from %d to %d", n, start+from, i, start, end)
				}
			}
		}
		c.report(t)
	}
}
