# A machine needs Python 3.11 or newer and make; everything else is installed into .venv.
# PYTHON=python3.12 make run chooses the Python. The settings are in docs/settings.md.

PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
PY := $(VENV)/bin/python
INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all:

# Stamp files: when one is newer than the requirements, make installs nothing.
MADE := $(VENV)/.made
RUNTIME := $(VENV)/.installed
DEV := $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.PHONY: help install install-dev run test acceptance coverage services services-stop check format bench torture clean sbom audit

help:
	@echo "make run            start the exchange: engine, settlement, web admin, background work, demo market"
	@echo "                    RUN_ARGS=--verbose also shows every line that the programs log"
	@echo "make test           install what the tests need and run all but the long ones, WORKERS=2 files at a time"
	@echo "make acceptance     run the long tests and print what each of them proves"
	@echo "make coverage       make test, then the lines and branches of matching, settlement and ledger that no test reached"
	@echo "make check          ruff, mypy, import contracts"
	@echo "make format         format the code with ruff"
	@echo "make bench          benchmarks: a table and a JSON file in bench-results/"
	@echo "make torture        kill real processes at random under load, then check; TORTURE_ARGS='--kills 20 --seed 1'"
	@echo "make services       install and start the servers that tests use; make services-stop ends them"
	@echo "make sbom           write sbom.json: every package that runs, in CycloneDX form; needs no network"
	@echo "make audit          ask the Python advisory database about these packages; needs a network"
	@echo "make clean          remove .venv and caches; data/ stays"

$(MADE):
	@command -v $(PYTHON) >/dev/null 2>&1 \
		|| { echo "$(PYTHON) is not installed: install Python 3.11 or newer, or name one with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is $$($(PYTHON) --version 2>&1): Python 3.11 or newer is needed, name one with PYTHON=..." >&2; exit 1; }
	@echo "making $(VENV) with $$($(PYTHON) --version)" >&2
	@$(PYTHON) -m venv $(VENV) \
		|| { echo "$(PYTHON) cannot make a virtual environment: install its venv module (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@touch $@

$(RUNTIME): requirements.txt | $(MADE)
	@echo "installing requirements.txt into $(VENV)" >&2
	@$(INSTALL) -r requirements.txt
	@touch $@

$(DEV): requirements-dev.txt $(RUNTIME)
	@echo "installing requirements-dev.txt into $(VENV)" >&2
	@$(INSTALL) -r requirements-dev.txt
	@touch $@

install: $(RUNTIME)

install-dev: $(DEV)

run: $(RUNTIME)
	@exec $(PY) manage.py run_exchange $(RUN_ARGS)

# The tests of a file run in one process, because they may share servers. Files run in parallel.
PARALLEL := --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

test: $(DEV)
	@$(PY) -m pytest $(PARALLEL) $(PYTEST_ARGS)

acceptance: $(DEV)
	@$(PY) -m pytest -m acceptance $(PYTEST_ARGS)

# All tests once, then those of the kernel and of settlement's columns again, interpreted, because coverage sees no
# compiled code. Of those, tests with thousands of commands are left out: they would take minutes, and reach no more.
INTERPRETED := $(addsuffix .py,$(addprefix tests/matching/core/test_, \
	matching_tape limits instrument_status intake kernel_tables hash_collisions prefetch))
STREAMS := tests/matching/core/test_engine_against_reference.py
INTERPRETED += "$(STREAMS)::test_random_streams_give_the_events_of_the_reference[0]" \
	"$(STREAMS)::test_streams_over_many_instruments_and_accounts_give_the_events_of_the_reference[100]"

COLUMNS := tests/settlement/project/test_columns_against_rows.py
INTERPRETED += tests/ledger/test_legs.py tests/settlement/project/columns \
	"$(COLUMNS)::test_commands_of_every_kind_give_the_rows_of_the_reference"

# Lines and branches, in percent. Settlement and ledger reach 97 with their own tests alone.
ALL_LIMIT := 88
SETTLEMENT_LIMIT := 94

coverage: $(DEV)
	@$(PY) -m pytest $(PARALLEL) --cov --cov-report= $(PYTEST_ARGS)
	@NUMBA_DISABLE_JIT=1 $(PY) -m pytest -q --disable-warnings $(PARALLEL) --cov --cov-append --cov-report= \
		-k "not thousands and not random_records and not stride" $(INTERPRETED)
	@$(PY) -m coverage report --fail-under=$(ALL_LIMIT)
	@echo "settlement and ledger, in percent; the limit is $(SETTLEMENT_LIMIT):"
	@$(PY) -m coverage report --format=total --include="settlement/*,ledger/*" --fail-under=$(SETTLEMENT_LIMIT)

services: | $(MADE)
	@$(PY) -m scripts.services start

services-stop: | $(MADE)
	@$(PY) -m scripts.services stop

check: $(DEV)
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

format: $(DEV)
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

bench: $(RUNTIME)
	@$(PY) manage.py bench $(BENCH_ARGS)

torture: $(RUNTIME)
	@$(PY) -m scripts.torture $(TORTURE_ARGS)

sbom: $(DEV)
	@$(PY) -m cyclonedx_py requirements --output-reproducible --output-file sbom.json requirements.txt

audit: $(DEV)
	@$(PY) -m pip_audit --require-hashes --disable-pip --requirement requirements.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './data/*' -exec rm -rf {} +
