# The few targets that people use. Everything here also works as the plain command that it runs.
.PHONY: test race lint compare groups demo conformance crash flips faults fuzz powercut cluster live soak mutants peers ci

# How long the long forms are; CI has smaller figures.
POINTS ?= 300000
KILLS ?= 500
HISTORIES ?= 60000
MIGRATEKILLS ?= 50
CUTS ?= 500
FUZZTIME ?= 60s
FOR ?= 1h
SEED ?= 1
ARGS ?=

test: ## the tests of the project, the short form of every tier
	go test ./...

race: ## the same under the race detector
	go test -race ./...

lint: ## formatting, vet, staticcheck, in every module
	.ci/lint

compare: ## every store beside its peers and the limit of the disk, in ten minutes; ARGS=--quick for one
	cd bench && go run ./cmd/compare $(ARGS)

groups: ## many raft groups in one log beside logs of their own, in two minutes; ARGS=--hour for an hour
	cd bench && go run ./cmd/groups $(ARGS)

conformance: ## what raft-boltdb, raft-wal and raft.InmemStore fail of the contract, written to docs/CONFORMANCE.md
	cd bench && go test -run Conformance -update .

demo: ## three peers, five kills, nothing lost
	go run ./cmd/ballast demo

# The long forms of the tiers of docs/CRASH-SAFETY.md. Each prints what it counted.

crash: ## the power of a file system in memory is cut, writing processes are killed
	go test ./wal -run '^TestCrash(Groups)?$$' -v -timeout 3h -args -crash.points=$(POINTS) -crash.seed=$(SEED)
	go test ./wal -run '^TestCrashHistories$$' -v -timeout 1h -args -crash.histories=$(HISTORIES) -crash.seed=$(SEED)
	go test ./wal ./boltstore ./badgerstore -run '^TestKilled$$' -v -p 1 -timeout 1h -args -kills=$(KILLS)
	go test ./wal -run '^TestMigrationCrash$$' -v -timeout 1h -args -crash.points=24000 -crash.seed=$(SEED)
	go test ./migrate ./internal/cli -run '^TestKilled$$' -v -p 1 -timeout 1h -args -kills=$(MIGRATEKILLS)

flips: ## every bit and every sector of small logs is damaged
	go test ./wal -run 'Flip|Damage|Lost|Shorter' -v -timeout 1h -args -flips.all

faults: ## every call to the file system fails, in every way
	go test ./wal -run 'Fault|Failed|Full' -v -timeout 1h -args -faults.all

fuzz: ## every fuzz target for a while
	go run ./internal/fuzzrun -fuzztime $(FUZZTIME)

powercut: ## the power of real ext4, xfs and btrfs is cut; as root
	go test ./internal/powercut -run '^TestPowerCut' -v -timeout 3h -args -cuts $(CUTS) -seed $(SEED)

cluster: ## partitions, kills and a full disk; as root
	go test ./internal/cluster -run '^TestCluster$$' -v -timeout 1h -args -for 5m -seed $(SEED)

live: ## an hour of reading and copying a log beside its writer: no damage is seen
	go test ./wal -run '^TestReadBetweenAnyTwoCalls$$' -v -timeout 1h -args -live.turns=2000
	go test ./wal ./internal/cli -run '^TestLive' -v -timeout 25h -args -live.for=$(FOR)

soak: ## an hour of appends, compaction and reads: nothing grows
	go run ./internal/soak -for $(FOR)

mutants: ## wal is broken on purpose: which tier notices
	go run ./internal/mutants

peers: ## what power cuts and damage do to the other stores; as root
	cd bench && go run ./cmd/powercut && go run ./cmd/damage

ci: ## what runs for every change
	.ci/run
