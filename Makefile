# Every target sets up .venv first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-fast lint docs faults clean

demo: .venv/demo-ready  ## the main job, on ten scenes
	$(BIN)/semask demo demo

test: .venv/test-ready lint  ## every check
	$(BIN)/python -m pytest -n 3 --dist worksteal

test-fast: .venv/test-ready  ## every room, without the slow tests
	$(BIN)/python -m pytest -n 3 --dist worksteal -m "not slow"

faults: .venv/test-ready  ## thousands of damaged files, in minutes
	$(BIN)/python -m tests.faults

lint: .venv/test-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/test-ready  ## the site, in site/; a dead link fails
	$(BIN)/python docs/generate.py --check
	$(BIN)/zensical build --strict --clean

.venv/demo-ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

.venv/test-ready: .venv/demo-ready
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,docs]'
	touch $@

clean:
	rm -rf .venv .cache demo site
