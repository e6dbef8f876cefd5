# arenatrace: `make run` shows it at work, `make test` tests it, `make help` lists the rest.

# The first Python from 3.14 down to 3.11; set PYTHON to choose another.
PYTHON ?= $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11,\
	$(shell $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))
VENV ?= .venv
BIN := $(VENV)/bin
SAMPLE ?= sample_traces/two-programs.atrace
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run test test-fast check format man pictures lab-packages samples wheel clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.runtime ## set up and print the summary of a bundled real trace
	@$(BIN)/arenatrace summary $(SAMPLE); status=$$?; \
	if [ $$status -gt 1 ]; then exit $$status; fi
	@echo
	@echo "Next: $(BIN)/arenatrace faults $(SAMPLE)"

test: $(VENV)/.dev ## set up and run all tests (ARENATRACE_VM=require|auto|off for the lab)
	$(BIN)/python -m pytest

test-fast: $(VENV)/.dev ## run the tests that boot no virtual machine
	ARENATRACE_VM=off $(BIN)/python -m pytest -m 'not vm'

check: $(VENV)/.dev ## lint, types, import contracts, shell scripts, man pages up to date
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/shellcheck $$(git ls-files '*.sh' .ci/run)
	$(BIN)/python docs/generate_man.py --check
	$(BIN)/python docs/generate_trace_format.py --check

format: $(VENV)/.dev ## let ruff rewrite what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

man: $(VENV)/.dev ## write what the docs take from the code: man pages, format tables
	$(BIN)/python docs/generate_man.py
	$(BIN)/python docs/generate_trace_format.py

pictures: $(VENV)/.dev ## draw the pictures in docs/pictures from the bundled samples
	$(PIP) install -q --constraint constraints.txt --group pictures
	$(BIN)/python docs/generate_pictures.py
	$(BIN)/python docs/generate_tui_pictures.py

samples: $(VENV)/.dev ## record sample_traces/ anew in the lab (needs root, some minutes)
	$(BIN)/python -m tests.vm.make_samples

lab-packages: ## install what the lab needs on Debian (needs root)
	sh tests/vm/lab/install-packages.sh

wheel: $(VENV)/.dev ## build the wheel into dist/
	$(BIN)/python -m hatchling build -t wheel

clean: ## remove the environment and everything built
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.base: constraints.txt
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or later found; set PYTHON=" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || sh tests/host/install-venv.sh
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q --constraint constraints.txt --upgrade pip hatchling editables
	@touch $@

$(VENV)/.runtime: $(VENV)/.base pyproject.toml
	$(PIP) install -q --constraint constraints.txt --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(PIP) install -q --constraint constraints.txt --group dev
	@touch $@
