PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
OUT ?= realear
REAL ?=

.PHONY: help install demo test test-slow check format bench docs clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

$(INSTALLED): setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip -c constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -m compileall -q leaderboards metrics models pipelines
	@touch $(INSTALLED)

install: $(INSTALLED)  ## make .venv and install RealEar into it, in the exact versions of constraints.txt

demo: $(INSTALLED)  ## a leaderboard from nothing: `make demo`, or with your recordings `make demo REAL=folder`
	$(BIN)/realear demo --out $(OUT) $(if $(REAL),--real $(REAL))

test: $(INSTALLED)  ## the test suite (minutes)
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: $(INSTALLED)  ## the long tests, too
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow

check: $(INSTALLED)  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(INSTALLED)  ## let ruff put the code in order
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(INSTALLED)  ## speed as a ratio to a named peer, side by side in one run
	$(BIN)/python -m tests.bench

docs: $(INSTALLED)  ## docs/commands.md, metrics.md and corpora.md, from the code
	$(BIN)/typer pipelines.cli utils docs --name realear --title "The realear command" | $(BIN)/python -c "import html, sys; print(html.unescape(sys.stdin.read()), end=str())" > docs/commands.md
	$(BIN)/python -m metrics > docs/metrics.md
	$(BIN)/python -m pipelines.corpora > docs/corpora.md

clean:  ## remove what the commands above made, but for .venv
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
