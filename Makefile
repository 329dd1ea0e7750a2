# make demo: set up .venv and run the main job.   make test: set up .venv and run every check.
# make test-fast: the tests of every room that need no large network, in three minutes.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-fast lint clean

demo: .venv/demo-ready
	$(BIN)/semask demo demo

test: .venv/test-ready lint
	$(BIN)/python -m pytest

test-fast: .venv/test-ready
	$(BIN)/python -m pytest -m "not slow"

lint: .venv/test-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/demo-ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

.venv/test-ready: .venv/demo-ready
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv demo
