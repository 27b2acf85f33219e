# Everything a newcomer runs. Each target works on a machine that has Python 3.11+ and make, and
# nothing else: uv is taken from PATH, or installed into .tools/, and the rest goes into .venv/.

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench chaos clean
MAKEFLAGS += --no-print-directory

PYTHON ?=#        the Python to use; empty means: find one
PYTEST_ARGS ?=#   more arguments for `make test`, e.g. PYTEST_ARGS='-x tests/store'
CHAOS_MINUTES ?= 20
STORE ?= sqlite# the store of `make chaos`; postgres needs nothing installed
JOBS := $(shell expr $$(nproc 2>/dev/null || echo 2) + 1) # tests wait more than they work

BIN := .venv/bin
READY := .venv/.ready

# What is compiled is kept: a test run starts thousands of Pythons, and each would compile all anew.
unexport PYTHONDONTWRITEBYTECODE

# Found when first needed, so that `make help` costs nothing.
find_python = python=; for p in $(strip $(PYTHON)) python3 python3.14 python3.13 python3.12 python3.11; do \
    "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { python=$$(command -v "$$p"); break; }; done
find_uv = uv=.tools/bin/uv; uv --version >/dev/null 2>&1 && uv=uv

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(READY) ## real jobs through a real worker, in about ten seconds
	@$(BIN)/workhorse demo

test: $(READY) ## the tests
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m 'not alone' $(strip $(PYTEST_ARGS))
	@$(BIN)/python -m pytest -n 2 --dist loadgroup -m alone $(strip $(PYTEST_ARGS)) || [ $$? -eq 5 ] # 5: none were chosen

check: $(READY) ## formatting, lint, types, and who may import whom
	@$(BIN)/ruff format --check --quiet . || { echo 'make format puts this right.' >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(find_uv); PYTHONPATH=src "$$uv" run --quiet --isolated --locked --only-group imports lint-imports
	@$(find_uv); "$$uv" run --quiet --isolated --locked --only-group pyright basedpyright --pythonpath $(BIN)/python

format: $(READY) ## format the code and apply the safe fixes
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

bench: $(READY) ## compare with other queues on this machine
	@$(find_uv); "$$uv" sync --quiet --locked --inexact --group bench && \
	    $(BIN)/python -m bench.environments "$$uv"
	@$(BIN)/python -m bench

chaos: $(READY) ## the long run that kills processes (CHAOS_MINUTES=20 STORE=postgres)
	@$(BIN)/python -m tests.scenarios.chaos --minutes $(CHAOS_MINUTES) --store $(STORE)

clean: ## remove what the targets above made
	@rm -rf .venv .tools .workhorse build dist .mypy_cache .ruff_cache .pytest_cache \
	    .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Built again only when pyproject.toml or uv.lock changed.
$(READY): pyproject.toml uv.lock
	@set -eu; $(find_python); $(find_uv); \
	if [ "$$uv" != uv ] && ! [ -x "$$uv" ]; then \
	    if [ -z "$$python" ]; then \
	        echo 'Workhorse needs Python 3.11 or newer. Install it, or say where it is: make PYTHON=/path/to/python3' >&2; exit 1; \
	    fi; \
	    echo 'Installing uv into .tools/ (once).'; \
	    if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	        echo "$$python has no venv module. On Debian or Ubuntu: apt-get install python3-venv. Or install uv: https://docs.astral.sh/uv" >&2; exit 1; \
	    fi; \
	    rm -rf .tools; "$$python" -m venv .tools; \
	    .tools/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.8'; \
	fi; \
	echo 'Setting up .venv (again only when pyproject.toml or uv.lock change).'; \
	if [ -n "$$python" ]; then UV_PYTHON="$$python"; export UV_PYTHON; fi; \
	"$$uv" sync --quiet --locked; \
	touch $@
