# Every target says what it does: `make help`. GNU make 3.81 and later, Python 3.11 and later.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3 || command -v python)
UV     ?= $(shell command -v uv || echo pipx run uv)
VENV   := .venv
ifeq ($(OS),Windows_NT)
BIN    := $(VENV)/Scripts
else
BIN    := $(VENV)/bin
endif

# Tests are spread over one process more than there are cores (tests/conftest.py), and an idle one
# takes over what another has not begun. What drives a browser runs alone, for it measures.
PYTEST       := $(BIN)/python -m pytest
SPREAD       := --numprocesses auto --dist worksteal
PYTEST_FLAGS ?=

# Tests start hundreds of processes; without bytecode each would compile every module again.
export PYTHONDONTWRITEBYTECODE :=

# pip takes exactly what the lock names; compiled once here, so that the first start is quick.
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check \
           --require-hashes --no-deps --compile --progress-bar on
PROJECT := $(BIN)/python -m pip install --disable-pip-version-check \
           --no-deps --no-build-isolation --quiet --editable .
MADE    := $(VENV)/made.stamp
READY   := $(VENV)/ready.stamp
DEV     := $(VENV)/dev.stamp

.PHONY: run demo test coverage durations check fuzz docs screenshots lint types contracts notebooks texts site guards proof soak mutants fuzz-readers sbom judges lock clean help

run: $(READY) ## Set up, ask the built-in model three things, then serve the app until interrupted.
	@$(BIN)/toolkit demo
	@$(BIN)/toolkit app

demo: $(READY) ## The same without serving the app.
	@$(BIN)/toolkit demo

test: $(DEV) ## Set up and run all tests.
	$(PYTEST) $(SPREAD) --durations=15 -m "not browser" $(PYTEST_FLAGS)
	$(PYTEST) --durations=5 -m browser $(PYTEST_FLAGS)

coverage: $(DEV) ## Run all tests and measure which branches of toolkit/ they take.
	$(PYTEST) $(SPREAD) --cov toolkit --cov-branch --cov-report term:skip-covered -m "not browser" $(PYTEST_FLAGS)

check: $(DEV) lint types contracts ## Lint, types, import contracts and the quick tests.
	$(PYTEST) -q $(SPREAD) -m "not slow and not browser"

durations: $(DEV) ## Run all tests and write what each takes to tests/durations.json (see tests/durations.py).
	$(PYTEST) $(SPREAD) -m "not browser" --record-durations $(PYTEST_FLAGS)

fuzz: $(DEV) ## Run the property tests with new examples, 5,000 each.
	TOOLKIT_TEST_PROFILE=fuzz $(PYTEST) $(SPREAD) -m "not browser" --timeout 3600 -k "property or properties or any_ or every_"

docs: $(DEV) ## Write the reference pages from the code.
	$(BIN)/python docs/generate.py

screenshots: $(DEV) ## Take the pictures of README and docs from the running app (needs Chromium).
	$(BIN)/python docs/images/take_screenshots.py

lint: $(DEV) ## Style and formatting, by ruff.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV) ## Types, by mypy in strict mode.
	$(BIN)/mypy

contracts: $(DEV) ## Which package may import which.
	$(BIN)/lint-imports --no-cache

notebooks: $(DEV) ## Run every notebook top to bottom.
	$(PYTEST) -q tests/test_notebooks.py

texts: $(DEV) ## Write the text (notebooks/*.py) of each notebook.
	$(BIN)/jupytext --quiet --to py:percent notebooks/*.ipynb

site: $(DEV) ## Build the documentation site into site/; a broken link fails.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

judges: ## Install third-party test servers and clients from npm (needs Node.js); without them their tests are skipped.
	npm ci --prefix tests/judges --no-audit --no-fund --loglevel=error

guards: $(DEV) ## Remove each guard in turn and see that a test notices (an hour or more).
	$(BIN)/python -m benchmarks.guards

proof: $(DEV) ## Print the figures of reliability and security, and which were measured.
	$(BIN)/python -m benchmarks.proof

soak: $(DEV) ## App, gateway, monitor, notebook and evaluations together for an hour.
	$(BIN)/python -m benchmarks.soak

mutants: $(DEV) ## Sample mutants of seven packages and see which the quick tests notice (hours).
	$(BIN)/python -m benchmarks.mutation --output benchmarks/mutation_result.json

fuzz-readers: $(DEV) ## Coverage-guided fuzzing of readers, 10 minutes each (needs `pip install atheris`).
	$(BIN)/python -m benchmarks.fuzz --output benchmarks/fuzz_result.json

sbom: $(READY) ## List the dependencies and their licences as CycloneDX, into sbom.cdx.json.
	$(BIN)/python docs/sbom.py --output sbom.cdx.json

# Every extra but `ray`, which has a lock of its own: the checkout must install everywhere.
EXTRAS := $(foreach extra,aws local notebook eval shared otel,--extra $(extra))
COMPILE := $(UV) pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
           --no-header --no-annotate

lock: ## Resolve the dependencies again and write the lock files (needs uv).
	$(COMPILE) $(EXTRAS) --group build -o requirements.lock
	$(COMPILE) $(EXTRAS) --group build --group dev -c requirements.lock -o requirements-dev.lock
	$(COMPILE) --extra ray -c requirements.lock -o requirements-ray.lock

clean: ## Remove the virtual environment and every cache; the home folder stays.
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis dist build
	find toolkit tests -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## Print this.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# A stamp is written when its step has ended well, so that a broken-off step is done again and
# a finished one is not.
$(MADE):
	@test -n "$(PYTHON)" || { echo "No Python found. Install Python 3.11 or later."; exit 1; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and \
	  f"{sys.executable} is Python {v[0]}.{v[1]}; 3.11 or later is needed (make PYTHON=...)")'
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "This Python cannot make a \
	virtual environment. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Making $(VENV) with $(PYTHON) ..."
	@"$(PYTHON)" -m venv --clear $(VENV)
	@touch $@

$(READY): $(MADE) requirements.lock pyproject.toml
	@echo "Installing what requirements.lock names (once, two or three minutes) ..."
	@$(INSTALL) -r requirements.lock
	@$(PROJECT)
	@touch $@

$(DEV): $(READY) requirements-dev.lock
	@echo "Installing what requirements-dev.lock names ..."
	@$(INSTALL) -r requirements-dev.lock
	@touch $@
