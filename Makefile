# From a fresh clone on a machine with Rust, Python 3.11 or newer, a C compiler and make, every target
# makes what it needs. A second run is quick: stamps tell what is up to date.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help

VENV := .venv
PYTHON := $(VENV)/bin/python
MANIFESTS := Cargo.toml Cargo.lock $(wildcard crates/*/Cargo.toml)
PACKAGE_SOURCES := $(MANIFESTS) $(shell find crates/*/src -name '*.rs')

# The binding is compiled against the interpreter that it is for, not against an older python3.
export PYO3_PYTHON := $(CURDIR)/$(PYTHON)

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The first interpreter that is new enough and can make environments (Debian packs that separately).
FIND_PYTHON := for python in python3 python3.15 python3.14 python3.13 python3.12 python3.11; do \
	if $$python -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	echo $$python; exit; fi; done; \
	echo 'nob.ipc needs Python 3.11 or newer with the module venv (on Debian and Ubuntu: apt install' \
	'python3-venv); none was found as python3 or python3.11 to python3.15' >&2; exit 1

$(VENV)/stamp-venv: pyproject.toml
	@python=$$($(FIND_PYTHON)); echo "== $$python and maturin into $(VENV)"; $$python -m venv $(VENV)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(PYTHON) -m pip install --quiet --group build
	@touch $@

$(VENV)/stamp-tools: $(VENV)/stamp-venv
	@echo '== the tools for tests and lints into $(VENV)'
	@$(PYTHON) -m pip install --quiet --group dev
	@touch $@

# The demo needs no command, and so half of the building.
$(VENV)/stamp-module: $(VENV)/stamp-venv $(PACKAGE_SOURCES)
	@echo '== building the module into $(VENV): the first time half a minute on two cores' \
		'(what goes on: $(VENV)/build.log)'
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(VENV)/bin/maturin develop --locked \
		>$(VENV)/build.log 2>&1 || { cat $(VENV)/build.log; exit 1; }
	@touch $@

# What has the command is as good as what has not.
$(VENV)/stamp-package: $(VENV)/stamp-venv $(PACKAGE_SOURCES)
	@echo '== building module and command into $(VENV): the first time a minute on two cores' \
		'(what goes on: $(VENV)/build.log)'
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" MATURIN_PEP517_ARGS=--locked $(PYTHON) -m pip --verbose \
		install --no-build-isolation --editable . \
		>$(VENV)/build.log 2>&1 || { cat $(VENV)/build.log; exit 1; }
	@touch $@ $(VENV)/stamp-module

.PHONY: demo
demo: $(VENV)/stamp-module ## processes talk, take turns and share memory
	@$(PYTHON) examples/demo.py

.PHONY: develop
develop: $(VENV)/stamp-package ## the package and the command, into .venv
	@echo 'now: source $(VENV)/bin/activate'

.PHONY: test
test: test-rust test-python ## all tests, examples and documented programs

# Tests wait more than they work; those on servers most of the time, until one hangs or a lease ends.
SERVER_TESTS = RUST_TEST_THREADS=$$((4 * $$(nproc))) cargo test --quiet --locked -p nob-ipc-redis --features tls

.PHONY: test-rust
test-rust: ## the tests of the crates
	@echo '== Rust: tests and doctests'
	@RUST_TEST_THREADS=$$((2 * $$(nproc))) cargo test --quiet --locked --workspace \
		--exclude nob-ipc-python --exclude nob-ipc-redis
	@echo '== Rust: tests on servers'
	@$(SERVER_TESTS)

# Tests wait more than they work: three processes keep two cores busy. A file stays in one of them.
SIDE_BY_SIDE := --numprocesses 3 --dist loadfile

.PHONY: test-python
test-python: $(VENV)/stamp-tools $(VENV)/stamp-package ## the tests of the Python package
	@echo '== Python: stubs against the native module'
	@$(PYTHON) -m mypy.stubtest nob.ipc nob.posix_ipc
	@echo '== Python: tests'
	@$(PYTHON) -m pytest $(SIDE_BY_SIDE)

# What differs between the engines: scripts, waking, rights, memory, replicas, Sentinel, clusters.
.PHONY: test-valkey
test-valkey: $(VENV)/stamp-tools $(VENV)/stamp-package ## the tests on servers, on a Valkey that is fetched from Debian's packages
	@if program=$$($(PYTHON) packaging/valkey.py); then export NOB_IPC_REDIS_SERVER=$$program; \
		echo "== $$($$program --version | cut -d' ' -f1-3): the crate, and parts of the package"; \
		$(SERVER_TESTS) --test it; $(PYTHON) -m pytest -q tests/remote/test_guide.py tests/remote/test_many_servers.py; \
	else echo 'skipped: the tests on Valkey'; fi

# With the wheel that `make packages` made.
.PHONY: test-pythons
test-pythons: ## the tests on every interpreter: of this machine, of a Debian sid (QUICK=1: few tests, of this machine; STRICT=1: none may be missing)
	@ls dist/*-abi3-manylinux_*_$$(uname -m).whl >/dev/null 2>&1 || $(MAKE) packages
	@python=$$($(FIND_PYTHON)); $$python packaging/pythons.py "$$(ls dist/*-abi3-manylinux_*_$$(uname -m).whl)" \
		$(if $(QUICK),--quick) $(if $(STRICT),--strict)

.PHONY: posix-ipc-suite
posix-ipc-suite: $(VENV)/stamp-tools $(VENV)/stamp-package ## the public tests of posix_ipc, fetched, against nob.posix_ipc
	@echo '== Python: the test suite of posix_ipc against nob.posix_ipc'
	@$(PYTHON) tests/posix_ipc_suite.py

.PHONY: lint
lint: $(VENV)/stamp-tools $(VENV)/stamp-package ## formatting, lints, types
	@echo '== Rust: formatting'
	@cargo fmt --all --check
	@echo '== Rust: lints'
	@cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
	@cargo clippy --quiet --locked -p nob-ipc-redis --all-targets --features tls -- -D warnings
	@echo '== Rust: documentation'
	@RUSTDOCFLAGS='-D warnings' cargo doc --quiet --locked --no-deps -p nob-ipc -p nob-ipc-redis
	@echo '== Python: formatting'
	@$(VENV)/bin/ruff format --quiet --check .
	@echo '== Python: lints'
	@$(VENV)/bin/ruff check --quiet .
	@echo '== Python: types'
	@$(VENV)/bin/mypy

.PHONY: stress
stress: $(VENV)/stamp-tools $(VENV)/stamp-package ## loops, races, crashes and faults for about 20 minutes (NOB_IPC_STRESS=10)
	@cd tests && $(CURDIR)/$(PYTHON) -m stress

.PHONY: fuzz
fuzz: ## the fuzz targets, 20 s each
	@python=$$($(FIND_PYTHON)); $$python fuzz/run.py

.PHONY: instructions
instructions: ## instructions of the hot calls, against their budget (valgrind)
	@python=$$($(FIND_PYTHON)); $$python bench/instructions.py

.PHONY: bench
bench: ## measure for twelve minutes, and write docs/benchmarks.md
	@python=$$($(FIND_PYTHON)); $$python bench/run.py

.PHONY: bench-quick
bench-quick: ## measure for three minutes
	@python=$$($(FIND_PYTHON)); $$python bench/run.py --quick

.PHONY: bench-server
bench-server: ## measure objects on a server, and write docs/benchmarks-server.md
	@python=$$($(FIND_PYTHON)); $$python bench/run.py --server

DOCS := .venv-docs

$(DOCS)/stamp: pyproject.toml
	@python=$$($(FIND_PYTHON)); echo "== $$python and what makes the site into $(DOCS)"; \
		$$python -m venv $(DOCS)
	@$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(DOCS)/bin/python -m pip install --quiet --group docs
	@touch $@

.PHONY: docs
docs: $(DOCS)/stamp ## the documentation site, into site/
	@PATH="$(CURDIR)/$(DOCS)/bin:$$PATH" NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict
	@echo 'site/index.html can be opened as it is;' \
		'with a search: python3 -m http.server --directory site'

$(VENV)/stamp-packages: $(VENV)/stamp-venv
	@$(PYTHON) -m pip install --quiet --group packages
	@touch $@

# The release wheel: for glibc 2.28, which zig links for. The module has to have the unwinder of the process,
# libgcc_s: when the interpreter ends, glibc unwinds daemon threads through its frames. zig would put another
# one into it, which crashes on what glibc hands over.
LIBGCC = $(shell $(1) -print-file-name=libgcc_s.so.1)
RELEASE = --profile release --locked --zig --compatibility manylinux_2_28

# cargo tries each crate with the others from a registry beside the build, whose name has no host. What it has
# unpacked and built of that it takes for good as long as the version is the same.
UNPACKED = $(or $(CARGO_HOME),$(HOME)/.cargo)/registry/src/-*/nob-ipc*-[0-9]*

.PHONY: packages
packages: $(VENV)/stamp-packages ## wheels, sdist and crates into dist, checked, nothing uploaded (STRICT=1: also for aarch64)
	@rm -rf dist
	@echo '== the sdist'
	@$(VENV)/bin/maturin sdist --out dist >$(VENV)/build.log 2>&1 || { cat $(VENV)/build.log; exit 1; }
	@echo '== the wheel of it: two minutes on two cores'
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" CARGO_TARGET_DIR="$(CURDIR)/target/packages" \
		MATURIN_PEP517_ARGS='$(RELEASE) --interpreter $(CURDIR)/$(PYTHON) -- -C link-arg=$(call LIBGCC,cc)' \
		$(PYTHON) -m pip wheel --quiet --no-build-isolation --no-deps --wheel-dir dist dist/*.tar.gz
	@echo '== the wheel for other systems'
	@$(PYTHON) packaging/pure.py dist
	@echo '== what the check of a wheel refuses, and the check'
	@$(PYTHON) packaging/test_check.py
	@CARGO_TARGET_DIR="$(CURDIR)/target/packages" $(PYTHON) packaging/check.py dist
	@echo '== the crates, as they would be published'
	@rm -rf target/publish $(UNPACKED)
	@CARGO_TARGET_DIR="$(CURDIR)/target/publish" cargo publish --quiet --dry-run --allow-dirty --locked -p nob-ipc -p nob-ipc-redis -p nob-ipc-cli
	@$(if $(STRICT),$(MAKE) packages-aarch64)

# Python's limited API needs no interpreter of the other processor. The sdist is made anew, so that what is in
# dist may be of any age.
AARCH64 := aarch64-unknown-linux-gnu
AARCH64_GCC := aarch64-linux-gnu-gcc

.PHONY: packages-aarch64
packages-aarch64: $(VENV)/stamp-packages ## the wheel for aarch64, cross-built into dist, and checked
	@command -v $(AARCH64_GCC) >/dev/null || { echo 'the wheel for aarch64 needs the libraries of its' \
		'compiler: apt-get install gcc-aarch64-linux-gnu' >&2; exit 1; }
	@[ -d "$$(rustc --print target-libdir --target $(AARCH64))" ] || { echo 'the wheel for aarch64 needs' \
		'the standard library of Rust: rustup target add $(AARCH64)' >&2; exit 1; }
	@echo '== the wheel for aarch64: two minutes on two cores'
	@rm -rf target/packages/sdist; $(VENV)/bin/maturin sdist --out target/packages/sdist \
		>$(VENV)/build.log 2>&1 || { cat $(VENV)/build.log; exit 1; }
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" CARGO_TARGET_DIR="$(CURDIR)/target/packages" \
		MATURIN_PEP517_ARGS='$(RELEASE) --target $(AARCH64) --interpreter python3.11 -- -C link-arg=$(call LIBGCC,$(AARCH64_GCC))' \
		$(PYTHON) -m pip wheel --quiet --no-build-isolation --no-deps --wheel-dir dist target/packages/sdist/*.tar.gz
	@$(PYTHON) packaging/check.py dist aarch64

.PHONY: audit
audit: $(VENV)/stamp-packages ## licences and advisories of all dependencies (network; cargo-deny)
	@echo '== crates'
	@cargo deny --version || { echo 'cargo-deny is missing: cargo install --locked cargo-deny' >&2; exit 1; }
	@cargo deny --locked check licenses bans sources
	@cargo deny --locked check advisories
	@echo '== Python packages'
	@$(VENV)/bin/pip-audit --progress-spinner off .

.PHONY: clean
clean: ## remove what was built
	rm -rf $(VENV) $(DOCS) .bench dist site target
