# `make demo` and `make test` work on a fresh checkout: both install the pinned set into .venv first.
PYTHON ?= python3
BIN := .venv/bin
ACTIONGRID_STORAGE ?= demo-storage
export ACTIONGRID_STORAGE

.DEFAULT_GOAL := help
.PHONY: help install demo smoke test long chaos fuzz mutants pictures check format lock docs release clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

install: .venv/.installed  ## create .venv with the pinned versions

# uv installs the 6 GB of the CUDA builds in a fraction of pip's time; pip does it where uv cannot reach an index.
# Bytecode comes with the first import: that of all 25,000 modules would take longer than that of those in use.
.venv/.installed: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	awk '/^[a-zA-Z]/ { wanted = /^uv==/ } wanted' requirements.lock > .venv/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r .venv/uv.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock \
		|| $(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e . \
		|| $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

demo: install  ## run the demo study, check its conclusion, write its report
	$(BIN)/actiongrid run demo
	$(BIN)/python -m tests.support.demo_conclusion $(ACTIONGRID_STORAGE)
	$(BIN)/actiongrid report

# A storage and study files of its own: nothing of it may stand among real results.
smoke: install  ## every study of the paper at toy size, and one report with all its figures and tables
	$(BIN)/actiongrid smoke --storage smoke-storage --cpus 2
	$(BIN)/actiongrid report --storage smoke-storage --output smoke-storage/report.html

# Two at a time: most of the slow ones wait, for Ray to start or for what they killed to be noticed. With three,
# two cores are so busy that pages and grids answer too late for their tests.
# Shells (and nohup) let what they start in the background ignore signals that some tests send.
BESIDE := $(addprefix tests/,catalog cluster dashboards peers) $(addprefix tests/trainables/,data models) \
	$(addprefix tests/orchestrator/,commands coordination datasets running)
PYTEST := $(BIN)/python -c 'import signal, sys, pytest; signal.signal(signal.SIGINT, signal.default_int_handler); \
	signal.signal(signal.SIGHUP, signal.SIG_DFL); sys.exit(pytest.main(sys.argv[1:]))' -m "not long"

test: install  ## all tests but those of `make long`
	@$(PYTEST) $(BESIDE) > .tests-beside.log 2>&1 & beside=$$!; \
	$(PYTEST) $(addprefix --ignore=,$(BESIDE)); first=$$?; \
	wait $$beside; second=$$?; cat .tests-beside.log; rm .tests-beside.log; \
	test $$first -eq 0 && test $$second -eq 0

long: install  ## the tests that take minutes each, such as clusters of several machines
	$(BIN)/python -m pytest -m long

fuzz: install  ## files and requests changed at random: 35 s for each of 35 readers and addresses, 20 minutes
	ACTIONGRID_FUZZ_SECONDS=35 $(BIN)/python -m pytest -s --timeout=600 tests/damage/test_fuzz_readers.py \
		tests/damage/test_fuzz_inputs.py tests/dashboards/test_fuzz_requests.py

chaos: install  ## fifty kills of everything at random moments, stops of a minute, jumps of the clock
	ACTIONGRID_KILLS=50 $(BIN)/python -m pytest -s --timeout=5400 tests/chaos

mutants: install  ## small faults in core code, one at a time: do the tests notice? (an hour; goes on where it was stopped)
	$(BIN)/python -m tests.mutants

pictures: install  ## make today's pages and figures the reference pictures of tests/browser
	ACTIONGRID_PICTURES=write $(BIN)/python -m pytest -q tests/browser/test_pages.py tests/browser/test_pictures.py \
		-k "is_drawn_as_it_was or papers_figures"

check: install  ## lint, types and the fast tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not slow"

format: install  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: install  ## resolve the dependencies anew: versions and hashes, no index addresses
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes \
		--no-emit-index-url --no-header pyproject.toml -o requirements.lock

docs: install  ## the documentation as pages, in site/; a link or an anchor that is wrong ends it
	$(BIN)/mkdocs build --strict

release: install  ## sdist and wheel in dist/, as the package index takes them
	rm -rf dist
	$(BIN)/uv build --quiet --no-build-isolation --python $(BIN)/python --out-dir dist
	$(BIN)/twine check --strict dist/*.whl dist/*.tar.gz
	$(BIN)/python -m pytest tests/test_release.py

clean:  ## remove what the demo and the tools left
	rm -rf demo-storage smoke-storage smoke-studies site dist build .pytest_cache .ruff_cache .mypy_cache .hypothesis
