# One virtual environment serves every command; it is brought up to date when pyproject.toml changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := $(basename $(notdir $(wildcard benchmarks/requirements/*.txt)))

.PHONY: train test test-mitigation lint types check mutants coverage accuracy results sweep compare compare-family members fit device-noise bench bench-cuda bench-full

train: $(VENV)/train
	$(BIN)/sqdr train $(OPTIONS)
	@run=$$(ls -td runs/*/ 2>/dev/null | head -n 1); printf '%s\n' '' 'What to try next:' '  . $(BIN)/activate' \
	  "  sqdr report $${run:-RUN}" '  sqdr bench' '  sqdr train --help'

# One thread a process: the circuits of the tests are too small for more.
test: $(VENV)/example
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto

# Those of mitiq, which wants an older NumPy than the others.
test-mitigation: $(VENV)-mitigation/installed
	OMP_NUM_THREADS=1 $(VENV)-mitigation/bin/python -m pytest tests/backends/test_qiskit.py -k TestMitiq

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed
	$(BIN)/mypy

check: lint types test test-mitigation

# Processes that tests start are measured as well.
coverage: $(VENV)/example
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --cov --cov-report term-missing:skip-covered

# Faults put into the core one by one, to see whether the tests notice; goes on where it was stopped.
mutants: $(VENV)/example
	$(BIN)/pip install --quiet --editable ".[mutation]"
	OMP_NUM_THREADS=1 $(BIN)/mutmut run

accuracy: $(VENV)/train
	$(BIN)/python benchmarks/accuracy.py

# The tables of docs/results.md: hours of training, of images below DATA; goes on where it was stopped.
DATA ?= datasets
results: $(VENV)/installed
	$(BIN)/python benchmarks/results.py --root $(DATA) $(OPTIONS)

# Goes on where it was stopped; so do both comparisons.
sweep: $(VENV)/train
	$(BIN)/sqdr sweep-noise --folder runs/noise-sweep
	cp runs/noise-sweep/accuracy.png docs/noise-sweep.png

compare: $(VENV)/train
	$(BIN)/sqdr compare --folder runs/comparison

# What members of the family of circuits cost beside the published one; prints a table.
members: $(VENV)/installed
	$(BIN)/python benchmarks/members.py

# How near the noise of a calibration comes to Aer's simulation of a device; prints the table of docs/devices.md.
device-noise: $(VENV)/installed
	$(BIN)/python -W ignore benchmarks/device_noise.py

# The picture of the README.
fit: $(VENV)/train
	$(BIN)/python examples/fit_a_function.py docs/fit-a-function.png

# Other members of the family of circuits.
compare-family: $(VENV)/train
	$(BIN)/sqdr compare --config benchmarks/family.yaml --folder runs/family

# PyTorch's cache of compiled code is not used, so that the first call is timed with its compilation.
TIMED := TORCHINDUCTOR_FORCE_DISABLE_CACHES=1
TIMINGS := -m pytest --quiet --benchmark-columns=median,rounds --benchmark-sort=name
RESULTS := benchmarks/results

# The short set; prints its tables.
bench: $(VENV)/installed
	mkdir -p $(RESULTS)
	$(TIMED) $(BIN)/python $(TIMINGS) benchmarks --benchmark-json $(RESULTS)/short.json
	$(BIN)/python benchmarks/report.py $(RESULTS)/short.json

# Circuits and training steps on a GPU, without PennyLane; writes benchmarks/RESULTS-CUDA.md.
bench-cuda: $(VENV)/installed
	mkdir -p $(RESULTS)/cuda
	$(TIMED) $(BIN)/python $(TIMINGS) benchmarks/test_circuits.py benchmarks/test_training_step.py --device cuda \
	  -k "not kernels and not pennylane" --benchmark-json $(RESULTS)/cuda/sqdr.json
	$(BIN)/python benchmarks/report.py $(RESULTS)/cuda/sqdr.json > benchmarks/RESULTS-CUDA.md

# Everything, beside every peer; writes benchmarks/RESULTS.md and its picture. Each part has a process of its
# own, since some engines keep gigabytes.
bench-full: $(VENV)/installed $(PEERS:%=$(VENV)-bench-%/installed)
	rm -rf $(RESULTS)/full && mkdir -p $(RESULTS)/full
	for part in $(wildcard benchmarks/test_*.py); do \
	  $(TIMED) $(BIN)/python $(TIMINGS) $$part --full --seconds 1 \
	    --benchmark-json $(RESULTS)/full/$$(basename $$part .py).json || failed=1; \
	done; \
	for peer in $(PEERS); do \
	  $(TIMED) $(VENV)-bench-$$peer/bin/python $(TIMINGS) benchmarks/test_circuits.py --peer $$peer --seconds 1 \
	    --benchmark-json $(RESULTS)/full/$$peer.json || failed=1; \
	done; \
	$(BIN)/python benchmarks/report.py $(RESULTS)/full/*.json --into benchmarks; \
	test -z "$$failed"

# What training needs.
$(VENV)/train: pyproject.toml
	@echo 'Installing sqdr and what training needs into $(VENV): some minutes, 3 GB to download and 6 GB on'
	@echo 'disk, most of it CUDA for PyTorch. A CPU build of PyTorch and torchvision that is there stays.'
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --editable ".[train]"
	@touch $@

# Every simulator and the tools of developers as well.
$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --editable ".[dev]"
	@touch $@ $(@D)/train

# A backend of another distribution, installed as a stranger would install theirs.
$(VENV)/example: $(VENV)/installed examples/own-backend/pyproject.toml
	$(BIN)/pip install --quiet --editable examples/own-backend
	touch $@

# An environment that sees what $(VENV) holds, to add what is not to meet others.
PURELIB := -c "import sysconfig; print(sysconfig.get_path('purelib'))"
define BESIDE
$(PYTHON) -m venv --clear $(@D)
echo "import site; site.addsitedir('$$($(BIN)/python $(PURELIB))')" > $$($(@D)/bin/python $(PURELIB))/sqdr.pth
endef

$(VENV)-mitigation/installed: $(VENV)/installed
	$(BESIDE)
	$(@D)/bin/pip install --quiet "mitiq>=1.0" && $(@D)/bin/python -c "import mitiq" && touch $@

# Where a peer does not install, its benchmarks run all the same and say so, and the next time it is tried
# again.
$(VENV)-bench-%/installed: benchmarks/requirements/%.txt $(VENV)/installed
	$(BESIDE)
	$(@D)/bin/pip install --quiet --requirement $< && touch $@ || echo "$< does not install"
