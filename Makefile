# From a fresh clone on a machine with Rust, Python 3.11 or newer, a C compiler and make, every target
# makes what it needs. A second run is quick: stamps tell what is up to date.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help

VENV := .venv
PYTHON := $(VENV)/bin/python
RUST_SOURCES := $(shell find crates -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The first interpreter that is new enough.
FIND_PYTHON := for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	echo $$python; exit; fi; done; \
	echo 'nob.ipc needs Python 3.11 or newer; none was found as python3 or python3.11 to 3.14' >&2; exit 1

$(VENV)/stamp-tools: pyproject.toml
	@echo '== tools into $(VENV)'
	@python=$$($(FIND_PYTHON)) && $$python -m venv $(VENV)
	@$(PYTHON) -m pip install --quiet --upgrade 'pip>=25.1'
	@$(PYTHON) -m pip install --quiet --group dev
	@touch $@

$(VENV)/stamp-package: $(VENV)/stamp-tools $(RUST_SOURCES)
	@echo '== the package into $(VENV)'
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(VENV)/bin/maturin develop --release --quiet
	@touch $@

.PHONY: demo
demo: $(VENV)/stamp-package ## two processes talk, exclude each other and share memory
	@$(PYTHON) examples/demo.py

.PHONY: test
test: test-rust test-python ## all tests, examples and documented code

.PHONY: test-rust
test-rust: ## the tests of the crates
	@echo '== Rust: tests and doctests'
	cargo test --quiet --workspace --exclude nob-ipc-python

.PHONY: test-python
test-python: $(VENV)/stamp-package ## the tests of the Python package
	@echo '== Python: stubs against the native module'
	$(PYTHON) -m mypy.stubtest nob.ipc
	@echo '== Python: tests'
	$(PYTHON) -m pytest

.PHONY: lint
lint: $(VENV)/stamp-package ## formatting, lints, types
	@echo '== Rust: formatting, lints, documentation'
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings
	RUSTFLAGS='--cfg nob_ipc_unsupported' cargo check --quiet -p nob-ipc --target-dir target/unsupported
	RUSTDOCFLAGS='-D warnings' cargo doc --quiet --no-deps -p nob-ipc
	@echo '== Python: formatting, lints, types'
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

.PHONY: clean
clean: ## remove what was built
	rm -rf $(VENV) target
