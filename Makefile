# One virtual environment serves every command; it is made anew when pyproject.toml changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: train test lint types check accuracy sweep compare bench

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

# Goes on where it was stopped; so does compare.
sweep: $(VENV)/installed
	$(BIN)/sqdr sweep-noise --folder runs/noise-sweep
	cp runs/noise-sweep/accuracy.png docs/noise-sweep.png

compare: $(VENV)/installed
	$(BIN)/sqdr compare --folder runs/comparison

# The peers go into an environment of their own, which nothing else needs.
# PyTorch's cache of compiled code is not used, so that the first call is timed with its compilation.
bench: $(VENV)-bench/installed
	TORCHINDUCTOR_FORCE_DISABLE_CACHES=1 $(VENV)-bench/bin/pytest benchmarks --benchmark-json benchmarks/results.json
	$(VENV)-bench/bin/python benchmarks/tables.py benchmarks/results.json > benchmarks/RESULTS.md
	$(VENV)-bench/bin/python benchmarks/profile_training_step.py >> benchmarks/RESULTS.md
	cat benchmarks/RESULTS.md

$(VENV)/installed: EXTRA := dev
$(VENV)-bench/installed: EXTRA := bench

$(VENV)/installed $(VENV)-bench/installed: pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --editable ".[$(EXTRA)]"
	touch $@
