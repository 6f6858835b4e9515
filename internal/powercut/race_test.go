//go:build race

package powercut

// thin is by how many the number of cuts is divided: under the race detector each takes several times as long.
const thin = 4
