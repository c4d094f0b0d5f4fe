# Promptmill's words: `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
# Dated by the last complete installation, so that a second `make setup` costs nothing.
STAMP := $(VENV)/.installed
# Newest first; the first that answers and is 3.11 or newer is taken.
PYTHONS := $(PYTHON) python3.13 python3.12 python3.11 python3
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore $(BIN)/python -m pip -qq
HOUSES := api worker shared cli simulator
ROOMS := $(foreach room,$(HOUSES) tests bench deploy,$(if $(wildcard $(room)/*.py),$(room)))

# The independent witness of the conformance suite, in an environment of its own: it would
# change this one's.
LLMOCK := .venv-llmock/.installed
# What the benchmarks measure beside the mill, for the same reason.
RIVALS := .venv-rivals/.installed

# OpenAI's SDK of the generation before: it cannot be beside today's.
OPENAI2 := .venv-openai2/.installed

.PHONY: help setup demo up test conformance money sdk openai2 llmock browser check bench bench-quota rivals fmt lock

help: ## List these words
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## /  make \1|/' \
		| awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

setup: $(STAMP) ## Make .venv with the locked dependencies
	@:

demo: setup ## Answer the example prompts on a local stack, without a key
	@$(BIN)/promptmill demo

up: setup ## Start the local stack and keep it running
	@$(BIN)/promptmill up

# What measures by the clock how much of a quota is used runs alone; the rest three files at a
# time, as it mostly waits, the longest first (tests/conftest.py).
ALONE := tests/meters/test_strict_provider.py \
	$(addprefix tests/quota/test_,quota.py rules.py turns.py without_redis.py)
TOGETHER := -n 3 --dist loadfile --no-loadscope-reorder

test: setup ## Run the tests; ARGS are pytest's
ifdef ARGS
	@$(BIN)/python -m pytest -q $(ARGS)
else
	@failed=0; \
	$(BIN)/python -m pytest -q $(TOGETHER) $(addprefix --ignore=,$(ALONE)) || failed=1; \
	$(BIN)/python -m pytest -q $(ALONE) || failed=1; \
	exit $$failed
endif

conformance: setup llmock ## Hold every adapter to one suite; it writes the table of docs/providers.md
	@$(BIN)/python -m pytest -q tests/conformance --deselect tests/conformance/test_table.py $(ARGS)
	@$(BIN)/python -m tests.conformance.table
	@$(BIN)/python -m pytest -q tests/conformance/test_table.py

money: setup ## Prove that money is counted to the nano-dollar; ARGS=--jobs 10000 for a long run
	@$(BIN)/python -m pytest -q tests/money/test_others_bugs.py
	@$(BIN)/python -m tests.money.fault_run $(ARGS)

sdk: setup openai2 ## Prove by unmodified SDKs and a webhook receiver that the other APIs' faces are true
	@$(BIN)/python -m pytest -q tests/sdk tests/webhooks $(ARGS)

openai2: $(OPENAI2) ## Install OpenAI's SDK of the generation before, beside ours
	@:

llmock: $(LLMOCK) ## Install the conformance suite's independent witness
	@:

browser: ## Install Chromium for the browser test (Debian, as root)
	@command -v chromium >/dev/null || { apt-get -qq update \
		&& DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium \
		>/dev/null; }

check: setup ## Lint, format, types, import contracts, house rules, compose file
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "make fmt puts the format right" >&2; exit 1; }
	@$(BIN)/mypy --no-error-summary $(ROOMS)
	@$(BIN)/hadolint deploy/Dockerfile
	@$(BIN)/lint-imports --no-cache >$(VENV)/contracts.log 2>&1 || { cat $(VENV)/contracts.log; exit 1; }
	@$(BIN)/python -m pytest -q tests/house

bench: setup rivals ## Measure; ARGS choose what
	@$(BIN)/python -m bench $(ARGS)

bench-quota: setup rivals ## Measure the use of quotas, fairness, outages, and a race with others
	@$(BIN)/python -m bench.quota $(ARGS)

rivals: $(RIVALS) ## Install what the benchmarks measure beside the mill
	@:

fmt: setup ## Put the format right, and what the linter can
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

lock: ## Lock the dependencies of pyproject.toml anew: all, and those of the image
	@$(FIND_PYTHON); tools=$$(mktemp -d); trap 'rm -rf "$$tools"' EXIT; \
	"$$python" -m venv "$$tools"; \
	"$$tools/bin/python" -m pip -qq install uv; \
	compile="$$tools/bin/uv pip compile pyproject.toml --universal --generate-hashes \
		--python-version 3.11 --no-emit-index-url --no-header -q"; \
	$$compile --all-extras -o requirements.lock; \
	$$compile --extra build --constraints requirements.lock -o requirements-prod.lock

$(STAMP): requirements.lock pyproject.toml
	@echo "installing into $(VENV): a minute, once"
	@$(BIN)/python -c '$(NEW_ENOUGH)' 2>/dev/null || { $(MAKE_VENV); }
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(LLMOCK): tests/conformance/llmock.lock
$(RIVALS): bench/rivals.lock
$(OPENAI2): tests/sdk/openai2.lock
$(LLMOCK) $(RIVALS) $(OPENAI2):
	@$(FIND_PYTHON); "$$python" -m venv $(@D) 2>/dev/null || "$$python" -m virtualenv --quiet $(@D)
	@PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
		$(@D)/bin/python -m pip -qq install --require-hashes -r $<
	@touch $@

# Shell: sets $python, or says what is missing.
FIND_PYTHON = python=; for each in $(PYTHONS); do \
	if "$$each" -c '$(NEW_ENOUGH)' 2>/dev/null; then python=$$each; break; fi; done; \
	if [ -z "$$python" ]; then \
	echo "Promptmill needs Python 3.11 or newer; found none. make setup PYTHON=/path/to/python3" >&2; \
	exit 1; fi

# Debian's Python may lack ensurepip; virtualenv brings its own pip.
MAKE_VENV = $(FIND_PYTHON); rm -rf $(VENV); \
	"$$python" -m venv $(VENV) >/dev/null 2>&1 \
	|| "$$python" -m virtualenv --quiet $(VENV) 2>/dev/null \
	|| { echo "$$python cannot make $(VENV): install its venv module (Debian: apt install python3-venv)" >&2; \
	exit 1; }
