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

# A module to try the processes with.
ONE     := $(lastword $(sort $(notdir $(MODULES))))

# The folders of the commands.
COMMANDS := $(wildcard cmd/*) tools/seam $(wildcard test/sandbox lab/seam-*)

# Settings of a system of its own, whatever the environment says.
own = SEAM_DATABASE_URL= SPLIT= CANARY= DATABASES=

# The acceptance suite on one topology: what to call it, and the settings that choose it.
accept = @echo "Acceptance: $(1) …"; $(own) $(2) test/accept.sh

# Whether a setting (2) is one of these words (1); asked here, because a shell would read what it is made of.
one-of = $(and $(filter 1,$(words $(2))),$(filter $(1),$(2)))

VULNS ?= pinned

.DEFAULT_GOAL := help
-include lab/lab.mk
.PHONY: help
help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: build ## start the system; PORT=8080, SPLIT=MODULE or all, CANARY=MODULE, DATABASES=own, Ctrl-C stops it
	@exec bin/seam up

.PHONY: build
build: ## build every command into bin/
	@echo "Building into bin/ (the first time takes a minute or two) …"
	@rm -f $(filter-out $(addprefix bin/,$(notdir $(COMMANDS))),$(wildcard bin/*)) # of what is gone
	@go build -o bin/ $(addprefix ./,$(COMMANDS))

# What tests that run the commands build them from, so that each package need not link them again.
test: export TEST_BIN := $(CURDIR)/bin

.PHONY: test
test: build ## run every test on a real PostgreSQL
	@echo "Testing (a cold build takes a few minutes) …"
	@# Not from the cache: it does not know of the binaries that tests build and of the files that they read.
	@bin/seam postgres -- go test -count=1 -timeout 20m work
	@echo "Replaying the events of earlier releases …"
	@$(own) EVENTS_MAX_ATTEMPTS=1 bin/seam up -- go test -count=1 -run '^TestContracts$$' ./architecture
	$(call accept,the monolith,)
	$(if $(word 2,$(MODULES)),$(call accept,$(ONE) alone split off,SPLIT=$(ONE)))
	$(call accept,all split off,SPLIT=all)

.PHONY: images
images: build ## build the images of every command; SEAM_IMAGES=registry/prefix-, SEAM_TAG=dev, SEAM_SBOM=FOLDER
	@deploy/build-images.sh

.PHONY: check
check: lint vulns build ## lint, look for known vulnerabilities and licences, compare generated code, then build and vet every go.mod without go.work, as if it had left
	@echo "Checking the licences of what is linked …"
	@go run ./deploy/sbom $(addprefix bin/,$(notdir $(filter-out lab/%,$(COMMANDS)))) >/dev/null
	@echo "Comparing generated code (sqlc is built the first time: up to three minutes) …"
	@for m in $(MODULES); do echo "Comparing $$m …"; (cd $$m && CGO_ENABLED=0 go run $(SQLC) diff) || \
		{ echo "$$m: run 'make generate' and commit the result"; exit 1; }; done
	@GOWORK=off sh -ec 'for u in $(UNITS); do \
		echo "Alone: $$u …"; (cd $$u; go mod tidy -diff; go build ./...; go vet ./...); \
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
	@CGO_ENABLED=0 go run $(GOLANGCI) run --allow-parallel-runners $(patsubst %,./%/...,$(UNITS))

.PHONY: generate
generate: ## write what follows from the modules anew: SQL code, compose files, routes, contracts, the map, and every go.mod
	@echo "Generating (sqlc is built the first time: up to three minutes) …"
	@for m in $(MODULES); do echo "Generating $$m …"; (cd $$m && CGO_ENABLED=0 go run $(SQLC) generate) || exit; done
	@go run ./tools/seam generate --tidy

.PHONY: release-contracts
release-contracts: build ## make today's contracts the promise; refuses when they break what was released
	@echo "Comparing, and taking a sample of every event from a run of the acceptance suite (two minutes) …"
	@CONTRACTS=release $(own) test/accept.sh go test -count=1 -run '^TestReleaseContracts$$' ./architecture
	@echo "architecture/contracts/released is today's: commit it with the release"

.PHONY: ledger
ledger: ## show the extractions under way, and fail when one is late
	@go run ./tools/seam ledger
