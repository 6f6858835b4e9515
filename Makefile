# The few targets that people use. Everything here also works as the plain command that it runs.
.PHONY: test race lint bench demo conformance ci

test: ## the tests of the project
	go test ./...

race: ## the same under the race detector
	go test -race ./...

lint: ## formatting, vet, staticcheck, in every module
	.ci/lint

bench: ## wal beside its peers and the limit of the disk, as ratios
	cd bench && go run .

conformance: ## what raft-boltdb, raft-wal and raft.InmemStore fail of the contract, written to docs/CONFORMANCE.md
	cd bench && go test -run Conformance -update .

demo: ## three peers, five kills, nothing lost
	go run ./cmd/ballast demo

ci: ## what runs for every change
	.ci/run
