# The two commands of the README need Python 3.11 or later (with venv) and make, nothing else.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 2
PURE := $(patsubst %,tests/test_%.py,decision redaction rules waivers ledger checklist config_file judging effects_places)

.PHONY: rehearsal test test-serial check format coverage bench staging-up staging-down clean

$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or later is needed, this is " + sys.version'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[embedded,xdist]' --group dev
	touch $(READY)

rehearsal: $(READY)  ## run the checklist against the example project
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest --dryrun-target=local

test: $(READY)  ## the project's own tests, spread over processes, in random order
	$(BIN)/python -m pytest -n $(WORKERS)

test-serial: $(READY)  ## the same, one after another
	$(BIN)/python -m pytest

coverage: $(READY)  ## what decides is covered branch by branch, without a server
	$(BIN)/python -m coverage run -m pytest -q -p no:randomly $(PURE)
	$(BIN)/python -m coverage report

check: $(READY)  ## style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(READY)  ## figures as ratios measured in one run, and the labelled set; writes bench/results.json
	$(BIN)/python bench/run.py

staging-up: $(READY)  ## a small staging host in a container, for the target `staging` (needs root and Docker)
	bash tests/stand/staging.sh up

staging-down:  ## take it away again
	bash tests/stand/staging.sh down

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
