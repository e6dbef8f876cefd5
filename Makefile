# Every target is listed by `make help`.

# The first Python from 3.14 down to 3.11; set PYTHON to choose another.
PYTHON ?= $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11,\
	$(shell $(p) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(p))))
VENV ?= .venv
BIN := $(VENV)/bin
SAMPLE ?= sample_traces/two-programs.atrace
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Test processes. Each may boot a guest of two CPUs and 3 GiB.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder
KERNEL ?=

.DEFAULT_GOAL := help
.PHONY: help run test test-fast test-quick check format man pictures lab-packages lab-build \
	lab-shell samples cases bench-startup bench-analysis bench-import bench-replay bench-tui \
	bench-capture wheel sdist clean

help: ## list these targets
	@awk -F ':.*## ' '/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Run

run: $(VENV)/.runtime ## set up and print the summary of a bundled real trace
	@$(BIN)/arenatrace summary $(SAMPLE); status=$$?; \
	if [ $$status -gt 1 ]; then exit $$status; fi
	@echo
	@echo "Next: $(BIN)/arenatrace faults $(SAMPLE)"

##@ Test

test: $(VENV)/.dev ## run all tests (ARENATRACE_VM=require|auto|off for the lab, WORKERS=2)
	$(PYTEST)

test-fast: $(VENV)/.dev ## run the tests that boot no virtual machine, fewer random examples
	ARENATRACE_VM=off ARENATRACE_TESTS=fast $(PYTEST) -m 'not vm'

test-quick: $(VENV)/.dev ## run a part of test-fast that covers every package
	ARENATRACE_VM=off ARENATRACE_TESTS=quick $(PYTEST) -m 'not vm and not slow'

##@ Check

check: $(VENV)/.dev ## lint, types, import contracts, shell scripts, generated docs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/shellcheck $$(find . -name '*.sh' -not -path './$(VENV)/*') $(wildcard .ci/run)
	$(BIN)/python docs/generate_man.py --check
	$(BIN)/python docs/generate_trace_format.py --check

format: $(VENV)/.dev ## let ruff rewrite what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

##@ Docs

man: $(VENV)/.dev ## generate the man pages and the tables of the trace format
	$(BIN)/python docs/generate_man.py
	$(BIN)/python docs/generate_trace_format.py

pictures: $(VENV)/.dev ## draw docs/pictures (needs Graphviz)
	$(PIP) install -q --constraint constraints.txt --group pictures
	$(BIN)/python docs/generate_pictures.py
	$(BIN)/python docs/generate_tui_pictures.py
	dot -Tsvg docs/pictures/architecture.dot -o docs/pictures/architecture.svg

##@ Lab (needs root; see docs/lab.md)

lab-packages: ## install the Debian packages that the lab needs
	sh tests/vm/lab/install-packages.sh

lab-build: $(VENV)/.dev ## build the guests of all tested kernels
	$(BIN)/python -m tests.vm.lab build --all

lab-shell: $(VENV)/.dev ## open a shell in a fresh guest (KERNEL=7.3 for another kernel)
	$(BIN)/python -m tests.vm.lab shell --kernel '$(KERNEL)'

cases: $(VENV)/.dev ## record docs/cases again (some minutes)
	$(BIN)/python -m tests.vm.make.cases
	$(BIN)/python docs/generate_cases.py

samples: $(VENV)/.dev ## record sample_traces/ again (some minutes)
	$(BIN)/python -m tests.vm.make.samples

##@ Bench (each prints what it compares with)

bench-startup: $(VENV)/.dev ## where the time of a short command goes
	$(BIN)/python -m bench.startup_bench

bench-analysis: $(VENV)/.dev ## faults of large traces, against DuckDB and pandas
	$(PIP) install -q -r bench/requirements.txt
	$(BIN)/python -m bench.analysis_bench

bench-import: $(VENV)/.dev ## importing a kernel log of 1 GiB, against grep -c
	$(BIN)/python -m bench.import_bench

bench-replay: $(VENV)/.dev ## replaying large traces, against plain passes over the same events
	$(BIN)/python -m bench.replay_bench

bench-tui: $(VENV)/.dev ## the terminal interface, on sealed and growing traces
	$(BIN)/python -m bench.tui_bench

bench-capture: $(VENV)/.dev ## cost of recording in the lab, against perf, bpftrace and BCC (root)
	$(BIN)/python -m bench.capture_bench

##@ Package

wheel: $(VENV)/.dev ## build the wheel into dist/
	$(BIN)/python -m hatchling build -t wheel

sdist: $(VENV)/.dev ## build the source distribution into dist/
	$(BIN)/python -m hatchling build -t sdist

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
