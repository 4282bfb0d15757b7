# The two commands that matter: `make demo` and `make test`. Each sets up what it needs.
# PYTHON=/path/to/python3.12 names an interpreter; otherwise the newest from 3.11 on is taken.

BIN := .venv/bin
# Workers of `make test`: two cores have time for a third, since much of it is waiting.
JOBS ?= 3

.PHONY: help setup demo test lint types fmt bench clean

help:
	@echo "make demo    a complete throwaway Gatepost with a sample database, here and now"
	@echo "make test    every check that CI runs"
	@echo "make lint    style and types only        make fmt      format the code"
	@echo "make bench   measure against PgBouncer   make setup    only make .venv"

setup:
	@PYTHON="$(PYTHON)" .ci/setup

demo: setup
	@$(BIN)/gatepost demo $(ARGS)

test: lint
	@$(BIN)/pytest -n $(JOBS) --dist worksteal $(ARGS)

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

fmt: setup
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: setup
	@$(BIN)/python -m bench $(ARGS)

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
