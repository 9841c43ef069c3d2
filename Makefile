# The commands of the project. They do all their set-up on a fresh Debian with the Rust
# toolchain; see CONTRIBUTING.md for what they do.
.PHONY: run test build simulate
SHELL := /bin/bash

run: build
	@exec examples/quickstart/run

build:
	@.ci/setup build
	cargo build --release -p lictor -p quickstart

test:
	@.ci/setup test
	@.ci/check

# Clusters on a virtual clock: `make simulate SEEDS=1000000`; started again it goes on.
simulate:
	@.ci/setup build
	@.ci/simulate $(SEEDS)
