# One virtual environment serves every command; it is made anew when pyproject.toml changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: train test lint types check accuracy

train: $(VENV)/installed
	$(BIN)/sqdr train $(OPTIONS)

# One thread a process: the circuits of the tests are too small for more.
test: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed
	$(BIN)/mypy

check: lint types test

accuracy: $(VENV)/installed
	$(BIN)/python benchmarks/accuracy.py

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable ".[dev]"
	touch $@
