# What only the lab needs, and what only works with it. The Makefile includes this.

BASE ?=

# The commands that lab/edge runs. Handed on by the environment, because a folder's name may mean something to a shell.
test: export EDGE_BIN := $(CURDIR)/bin

# What is set on the command line is in the environment, where no shell reads what it is made of.
.PHONY: long
long: build ## run a long suite: SUITE=topologies, faults (SEED=7 repeats a run), mutants, servers, clones, move, attacks or fuzz (FUZZTIME=1m)
	@lab/long.sh "$$SUITE"

.PHONY: bench
bench: export BENCH_BASE := $(BASE)
bench: ## measure the shop beside its references (nine minutes), and write deploy/PERFORMANCE.md; BASE=commit compares with that commit instead
	@cd lab/bench && $(if $(BASE),go test -count=1 -timeout 30m -run '^TestCompare$$',BENCH=write go test -count=1 -timeout 30m -run '^TestBench$$')

.PHONY: bench-long
bench-long: ## measure how the shop's figures grow with its tables (twelve minutes), and write them to the same page
	@cd lab/bench && BENCH=write go test -count=1 -timeout 60m -run '^TestGrowth$$'
