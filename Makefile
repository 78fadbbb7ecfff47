# Tools, pinned here and nowhere else.
SQLC     := github.com/sqlc-dev/sqlc/cmd/sqlc@v1.31.1
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULN   := golang.org/x/vuln/cmd/govulncheck@v1.9.0
# The known vulnerabilities of one day, so that a new one makes no commit wrong; every night asks for the newest.
VULNDB   := golang.org/x/vulndb@v0.0.0-20261105234957-e22db6528018

# The toolchain that go.work names, also where go is set to keep to its own: older ones have known vulnerabilities.
export GOTOOLCHAIN ?= auto

MODULES := $(wildcard modules/*)
# Every folder with a go.mod.
UNITS   := $(patsubst %/,%,$(dir $(wildcard go.mod */go.mod */*/go.mod */*/*/go.mod)))

# The acceptance suite on one topology: what to call it, and the settings that choose it.
accept = @echo "Acceptance: $(1) …"; $(2) test/accept.sh

# The tests of the suite faults.
MATRIX := ^(TestMatrix|TestNegativeControls)$$

# The suites that are too long for make test. Each has its target, long-NAME.
SUITES := topologies faults mutants servers fuzz

# Whether a setting (2) is one of these words (1); asked here, because a shell would read what it is made of.
one-of = $(and $(filter 1,$(words $(2))),$(filter $(1),$(2)))

VULNS ?= pinned
SUITE ?=
SEED ?=
BASE ?=
FUZZTIME ?= 1m

.DEFAULT_GOAL := help
.PHONY: help
help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: build ## start the shop; PORT=8080, SPLIT=payments or all, CANARY=payments, Ctrl-C stops it
	@exec bin/seam up

.PHONY: build
build: ## build every command into bin/
	@echo "Building into bin/ (the first time takes a minute or two) …"
	@go build -o bin/ ./cmd/... ./tools/seam $(addprefix ./,$(wildcard lab/seam-*))

# The commands that lab/edge runs. Handed on by the environment, because a folder's name may mean something to a shell.
test long-fuzz: export EDGE_BIN := $(CURDIR)/bin

.PHONY: test
test: build ## run every test on a real PostgreSQL
	@echo "Testing (a cold build takes a few minutes, and lab/faults about three) …"
	@# Not from the cache: it does not know of the binaries that tests build and of the files that they read.
	@bin/seam postgres -- go test -count=1 -timeout 20m work
	@echo "Comparing the contracts with the shop …"
	@EVENTS_MAX_ATTEMPTS=1 bin/seam up -- go test -count=1 -run '^TestContracts$$' ./architecture
	$(call accept,the monolith,)
	$(call accept,payments alone split off,SPLIT=payments)
	$(call accept,all split off,SPLIT=all)
	@deploy/postgres-image/test.sh

.PHONY: long
long: ## run a long suite: SUITE=topologies, faults (SEED=7 repeats a run), mutants, servers or fuzz (FUZZTIME=1m)
	@$(if $(call one-of,$(SUITES),$(SUITE)),$(MAKE) --no-print-directory long-$(SUITE),echo "SUITE must be one of: $(SUITES); for example make long SUITE=$(firstword $(SUITES))" >&2; exit 2)

# The acceptance suite on every mix of processes and versions, then what happens between them.
.PHONY: long-topologies
long-topologies: build
	@echo "Testing every topology (about half an hour) …"
	$(call accept,the monolith,SPLIT=)
	$(call accept,orders alone split off,SPLIT=orders)
	$(call accept,inventory alone split off,SPLIT=inventory)
	$(call accept,payments alone split off,SPLIT=payments)
	$(call accept,notifications alone split off,SPLIT=notifications)
	$(call accept,all split off,SPLIT=all)
	$(call accept,all split off and payments of the last release,SPLIT=all RELEASED=payments)
	@deploy/test-compose.sh
	@echo "Moving modules, cutting networks, and other long tests …"
	@SHOP_LONG=1 go test -count=1 -timeout 60m -skip '$(MATRIX)' ./lab/faults
	@bin/seam postgres -- go test -count=1 -timeout 60m ./lab/saga -rapid.checks=300

# Every fault to the monolith and to the split shop, then a shop without each safeguard.
.PHONY: long-faults
long-faults:
	@case "$(SEED)" in *[!0-9]*) echo "SEED must be a whole number, such as 7, and is \"$(SEED)\"" >&2; exit 2;; esac
	@echo "Building the shop's commands, and then doing every fault, which takes about half an hour …"
	@SHOP_LONG=1 SEED=$(SEED) go test -count=1 -timeout 90m -v -run '$(MATRIX)' ./lab/faults

# Every violation of a boundary, written into a copy of the repository, and who catches it.
.PHONY: long-mutants
long-mutants:
	@ARCHITECTURE_MUTANTS=1 go test -count=1 -v -run 'TestMutants|TestNothingIsServedStale' ./architecture

# Other releases of PostgreSQL, also through the PgBouncer that goes with each.
.PHONY: long-servers
long-servers: build
	@deploy/postgres-image/test-servers.sh

# Every fuzz test of the tree, one after the other, because go test fuzzes one at a time. What it finds is written to testdata/fuzz beside
# the test; commit that, and every test run tries it again. Shrinking what is only interesting takes most of the time if it may.
.PHONY: long-fuzz
long-fuzz: build
	@echo "Fuzzing, $(FUZZTIME) each …"
	@bin/seam postgres -- sh -ec 'found=; failed=; \
	for at in $$(grep -rEo --include="*_test.go" "^func Fuzz[A-Za-z0-9_]+" . | sed "s/func //"); do \
		found=1; name=$${at##*:}; echo "$$name in $$(dirname $${at%:*}) …"; \
		go test -run "^$$" -fuzz "^$$name$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x -parallel 1 ./$$(dirname $${at%:*}) || failed="$$failed $$name"; \
	done; \
	[ -n "$$found" ] || { echo "there is no fuzz test" >&2; exit 1; }; [ -z "$$failed" ] || { echo "failed:$$failed" >&2; exit 1; }'

# BASE goes by the environment, because a shell would read what it is made of.
.PHONY: bench
bench: export BENCH_BASE := $(BASE)
bench: ## measure the shop beside its references (nine minutes), and write deploy/PERFORMANCE.md; BASE=commit compares with that commit instead
	@cd lab/bench && $(if $(BASE),go test -count=1 -timeout 30m -run '^TestCompare$$',BENCH=write go test -count=1 -timeout 30m -run '^TestBench$$')

.PHONY: bench-long
bench-long: ## measure how the shop's figures grow with its tables (twelve minutes), and write them to the same page
	@cd lab/bench && BENCH=write go test -count=1 -timeout 60m -run '^TestGrowth$$'

.PHONY: images
images: build ## build the images of every command; SEAM_IMAGES=registry/prefix-, SEAM_TAG=dev
	@deploy/build-images.sh

.PHONY: check
check: lint vulns build ## lint, look for known vulnerabilities, compare generated code, then build, vet and test every go.mod without go.work, as if it had left
	@echo "Comparing generated code (sqlc is built the first time: up to three minutes) …"
	@for m in $(MODULES); do echo "Comparing $$m …"; (cd $$m && CGO_ENABLED=0 go run $(SQLC) diff) || \
		{ echo "$$m: run 'make generate' and commit the result"; exit 1; }; done
	@GOWORK=off bin/seam postgres -- sh -ec 'for u in $(UNITS); do \
		echo "Alone: $$u …"; (cd $$u; go mod tidy -diff; go build ./...; go vet ./...; case $$u in .|tools|lab) ;; *) go test ./... ;; esac); \
	done' || { echo "It does not stand alone: run make generate, which tidies, or see what it imports without requiring."; exit 1; }

# A folder of advisories is a database for govulncheck, so it needs no network but the module proxy.
.PHONY: vulns
vulns: ## refuse a known vulnerability that the code of any go.mod reaches; VULNS=newest asks for today's
	@$(if $(call one-of,pinned newest,$(VULNS)),,echo "VULNS must be pinned or newest" >&2; exit 2)
	@echo "Looking for known vulnerabilities (the first time a minute longer) …"
	@set --; $(if $(filter pinned,$(VULNS)),go mod download $(VULNDB) || exit; set -- "-db=file://$$(go env GOMODCACHE)/$(VULNDB)/data/osv";) \
	for u in $(UNITS); do echo "Checking $$u …"; \
		GOWORK=off CGO_ENABLED=0 go run $(GOVULN) "$$@" -C $$u ./... || exit; done

.PHONY: lint
lint: ## vet and lint
	@echo "Linting (the linter itself is built the first time: up to five minutes) …"
	@CGO_ENABLED=0 go run $(GOLANGCI) run $(patsubst %,./%/...,$(UNITS))

.PHONY: generate
generate: build ## write the SQL code, the contracts and the map anew, and tidy every go.mod
	@echo "Generating (sqlc is built the first time: up to three minutes) …"
	@for m in $(MODULES); do echo "Generating $$m …"; (cd $$m && CGO_ENABLED=0 go run $(SQLC) generate) || exit; done
	@echo "Writing the contracts as the shop has them …"
	@CONTRACTS=write bin/seam up -- go test -count=1 -run '^TestContracts$$/^OpenAPI$$' ./architecture
	@echo "Drawing the map …"
	@go run ./tools/seam map --write
	@for u in $(UNITS); do (cd $$u && GOWORK=off go mod tidy) || exit; done

.PHONY: release-contracts
release-contracts: build ## make today's contracts the promise; refuses when they break what was released
	@echo "Comparing, and taking a sample of every event from a run of the acceptance suite (two minutes) …"
	@CONTRACTS=release test/accept.sh go test -count=1 -run '^TestReleaseContracts$$' ./architecture
	@echo "architecture/contracts/released is today's: commit it with the release"

.PHONY: ledger
ledger: ## show the extractions under way, and fail when one is late
	@go run ./tools/seam ledger
