# `make help` says what there is. Everything works in a fresh clone, as root or as a user.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test deps fmt lint doc deny doctest it-system it-18 examples bench soak fuzz

# Tests with such names run real stacks from packages, on the PostgreSQL of this machine only.
STACKS := patroni|pgbackrest|pgbouncer|pgpool|haproxy|prometheus
# And these are long, or have no server: once is enough.
ONCE := $(STACKS)|killed_at_any_step|soak|faults_split|faults_exhausted|faults_impostor|faults_shards|topology_|fuzz_smoke|sql_generate|sql_compare

# nextest bounds each test's time; without it the tests still run.
NEXTEST := $(shell cargo nextest --version >/dev/null 2>&1 && echo yes)
ifeq ($(NEXTEST),yes)
TESTS := cargo nextest run --all-features
SERVER_TESTS := cargo nextest run --all-features --test it -E 'not test(/$(ONCE)/)'
else
TESTS := cargo test --all-features --lib --bins --tests -- --test-threads=3
SERVER_TESTS := cargo test --all-features --test it -- --test-threads=3 \
	$(foreach name,$(subst |, ,$(ONCE)),--skip $(name))
endif

help: ## this text
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## four shards, a failover and a report, with real servers
	@scripts/ensure-deps.sh demo
	cargo run --features cli --bin shardctl -- demo

test: deps fmt lint doc deny doctest it-system it-18 examples ## all that CI runs
	@echo "all tests passed"

deps: ## install what the tests need
	@scripts/ensure-deps.sh test

fmt: deps ## formatting and the direction of imports
	cargo fmt --check
	scripts/check-imports.sh
	scripts/check-imports.sh --test

lint: deps ## clippy, with all features and with few
	cargo clippy --all-features --all-targets -- -D warnings
	cargo clippy --all-targets -- -D warnings
	cargo clippy --no-default-features -- -D warnings

doc: deps ## rustdoc
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --all-features

deny: ## licences and advisories, if cargo-deny is installed
	@if cargo deny --version >/dev/null 2>&1; then cargo deny check; \
	else echo "cargo-deny is not installed: licences and advisories are not checked"; fi

doctest: deps ## the examples in the documentation
	cargo test --doc --all-features

it-system: deps ## all tests, on the PostgreSQL of this machine
	$(TESTS)

it-18: deps ## the tests with servers once more, on PostgreSQL 18
	PGSHARD_PG_BINDIR=embedded $(SERVER_TESTS)

examples: deps ## run every example
	scripts/run-examples.sh

bench: deps ## benchmarks
	cargo bench --all-features

soak: export SEED := $(SEED)
soak: export MINUTES := $(if $(MINUTES),$(MINUTES),10)
soak: deps ## random faults under a checked load: SEED=… MINUTES=…
	cargo test --all-features --test it soak::random_faults -- --exact --nocapture

fuzz: ## fuzz one target for a minute: TARGET=config; needs cargo-fuzz and a nightly toolchain
	cargo +nightly fuzz run $(TARGET) -- -max_total_time=60
