package export

import (
	"encoding/binary"
	"hash/crc32"
)

func sealed(b []byte) (sum [4]byte) {
	binary.LittleEndian.PutUint32(sum[:], crc32.Checksum(b, castagnoli))
	return sum
}

// fixSums sets the checksums of a file's header and blocks to what they should be, as far as the lengths lead.
func fixSums(data []byte) []byte {
	if len(data) < headerBytes {
		return data
	}
	copy(data, magic)
	sum := sealed(data[12:headerBytes])
	copy(data[8:], sum[:])
	for at := headerBytes; at+blockHeaderBytes <= len(data); {
		h := data[at : at+blockHeaderBytes]
		stored := uint64(binary.LittleEndian.Uint32(h[16:]))
		end := uint64(at+blockHeaderBytes) + stored
		if end > uint64(len(data)) {
			return data
		}
		sum = sealed(data[at+blockHeaderBytes : end])
		copy(h[24:], sum[:])
		sum = sealed(h[4:])
		copy(h, sum[:])
		at = int(end)
	}
	return data
}
