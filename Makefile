# `make help` lists every target.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
CACHE ?= $(or $(FLUXNEX_CACHE),.cache)
LINT := $(CACHE)/bin/golangci-lint
# Packages whose goroutines share state; the race detector costs the others time only.
RACE := ./pkg/app/... ./pkg/controlplane/... ./pkg/kafka/... ./pkg/postgres/... ./pkg/redis/... ./pkg/stage/... ./schemas/... ./services/...
# Whole processes and many records: one package at a time, after the rest.
HEAVY := ./tests/e2e/... ./tests/torture/... ./tests/mutants/...
REST = $(shell go list ./... | grep -Ev '/tests/(e2e|torture|mutants)')

.PHONY: help build check test demo demo-missing demo-edit torture torture-mutants bench bench-brokers bench-parts containers clean lint vet unit race e2e suite fuzz crashpoints

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/fluxnex
	go build -trimpath -o bin/fluxnex ./cmd/fluxnex

demo: ## the whole platform in one process, one record's journey; Ctrl-C ends it, data stay in .fluxnex
	@[ -x bin/fluxnex ] || echo "building bin/fluxnex; the first build takes minutes"
	@go build -trimpath -o bin/fluxnex ./cmd/fluxnex
	@exec bin/fluxnex demo

demo-missing: ## on the running demo: an invoice arrives without its load
	@[ -x bin/fluxnex ] || { echo "no demo runs here: start one with make demo, in another terminal" >&2; exit 1; }
	@bin/fluxnex demo missing

demo-edit: ## on the running demo: a bookkeeper edits the vendor in QuickBooks
	@[ -x bin/fluxnex ] || { echo "no demo runs here: start one with make demo, in another terminal" >&2; exit 1; }
	@bin/fluxnex demo edit

check: vet lint ## inner loop: vet, lint, unit tests on embedded parts; a few minutes
	@tools/gotest.sh -short -timeout 10m $(REST)

test: vet lint ## the whole suite on the real parts it finds or can install; REQUIRE=all fails on a skip
	@tools/parts/install.sh || [ "$(REQUIRE)" != all ]
	@echo "one record's journey on an older broker:"
	@KAFKA_VERSION=3.9.1 tools/parts/with-parts.sh tools/gotest.sh -count=1 -timeout 10m -run '^TestOneAccount' ./tests/e2e
	@echo "the suite:"
	@tools/parts/with-parts.sh $(MAKE) --no-print-directory --keep-going suite

# A failure of one does not hide the others.
suite: unit race fuzz crashpoints e2e

unit: # layers, schemas and fuzz corpora are among them
	@tools/gotest.sh -timeout 15m $(REST)

race:
	@tools/gotest.sh -race -timeout 15m $(RACE)

fuzz: # a short turn of three, counted and not timed; `go test` above ran all corpora
	go test -run '^$$' -fuzz '^FuzzSplit$$' -fuzztime 20000x ./integrations/revenova
	go test -run '^$$' -fuzz '^FuzzOtherVersion$$' -fuzztime 20000x ./schemas
	go test -run '^$$' -fuzz '^FuzzSignature$$' -fuzztime 20000x ./services/gateway

crashpoints: ## the real process killed between any two writes that must agree
	@tools/gotest.sh -tags failpoints -run '^TestCrash' -timeout 20m ./tests/torture

e2e:
	@tools/gotest.sh -p 1 -timeout 40m $(HEAVY)

vet:
	go vet ./...

lint: $(LINT)
	$(LINT) run ./...

# Built once: its sources are 200 modules.
$(LINT): tools/go.sum
	@echo "building golangci-lint; once, minutes"
	@mkdir -p $(@D)
	go build -modfile=tools/go.mod -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

bench: build ## the platform beside the bare thing: table, docs/benchmarks.md; on real parts where they start; about 25 minutes
	tools/parts/with-parts.sh go run ./tests/bench -docs docs -json docs/benchmarks.json

bench-brokers: build ## three brokers of Apache Kafka: ten steady minutes, then one killed or frozen: docs/benchmarks-brokers.md; about 25 minutes
	go run ./tests/bench -brokers -docs docs -json docs/benchmarks-brokers.json

bench-parts: ## codec, stage and integration benchmarks
	go test -run '^$$' -bench . -benchmem ./schemas ./pkg/stage ./pkg/canonical ./integrations/...

TORTURE ?=
torture: ## processes killed, frozen and starved under load, then every record judged; options in TORTURE, such as -ci -broker real -brokers 3 -seed 7
	go run ./tests/torture/cmd/torture $(TORTURE)

torture-mutants: ## 10 seeds of every mutant before its test, and of each mistake before the checker; writes docs/proof/mutants.md and mutants-torture.md
	go run ./tests/mutants/cmd/mutants -seeds 10 -out docs/proof/mutants.md
	go run ./tests/mutants/cmd/mutants -torture -seeds 10 -out docs/proof/mutants-torture.md

containers: ## the end-to-end suite on parts in Docker containers
	tools/gotest.sh -tags containers -count=1 -timeout 40m ./tests/containers

clean: ## remove what was built; the cache stays
	rm -rf bin
