# The two commands of the project. Both do all their set-up on a fresh Debian with the Rust
# toolchain; see CONTRIBUTING.md for what they do.
.PHONY: run test build
SHELL := /bin/bash

run: build
	@exec examples/quickstart/run

build:
	@.ci/setup build
	cargo build --release -p lictor -p quickstart

test:
	@.ci/setup test
	@.ci/check
