VENV ?= .venv
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$p"; break; }; done)
BIN := $(VENV)/bin
# More than there are cores: many tests wait for other processes.
TEST_PROCESSES ?= $(shell echo $$(( ($$(getconf _NPROCESSORS_ONLN) * 3 + 1) / 2 )))
# Findings that are no broken call; of the other packages most are not installed here.
BENCHMARK_TYPES := arg-type assignment call-overload import-not-found import-untyped no-any-return no-untyped-call operator type-arg union-attr unused-ignore

.PHONY: serve test proofs search check lint types contracts migrations openapi bench bench-peers clean help

help:  ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(VENV)/.runtime: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

serve: $(VENV)/.runtime  ## Set up and run everything: API, worker, broker, database
	@exec $(BIN)/xtalforge up

test: $(VENV)/.dev  ## Set up and run the tests, on all cores
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder --durations=40

proofs: $(VENV)/.dev  ## Slow variants of some tests, which `make test` leaves out
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder --durations=20 -m proof

search: $(VENV)/.dev  ## Property-based tests with new random examples (`make test` repeats the same ones)
	$(BIN)/python -m pytest --hypothesis-profile=search $$(grep -rl '^from hypothesis' tests --include='test_*.py')

lint: $(VENV)/.dev  ## Style
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/.dev  ## mypy --strict; of benchmarks, whether what they call is there
	$(BIN)/mypy
	$(BIN)/mypy --explicit-package-bases -p benchmarks $(addprefix --disable-error-code ,$(BENCHMARK_TYPES))

contracts: $(VENV)/.dev  ## Which package may import which
	$(BIN)/lint-imports

migrations: $(VENV)/.dev  ## Migrations and tables agree
	$(BIN)/xtalforge db check

check: lint types contracts migrations test proofs  ## All that CI runs

openapi: $(VENV)/.dev  ## Write app/web/openapi.json, and what the client derives from it
	$(BIN)/xtalforge openapi --output app/web/openapi.json && $(BIN)/python app/client/generate.py

bench: bench-peers  ## Speed and memory beside other packages; ONLY="ingestion inference training memory http" picks parts
	$(BIN)/python -m benchmarks.peers.run $(if $(ONLY),--only $(ONLY)) $(BENCH_OPTIONS)

bench-peers: $(VENV)/.runtime  ## The other packages, in .bench-venv
	$(BIN)/python -m benchmarks.peers.environment

clean:  ## Remove the environment (data stays)
	rm -rf $(VENV)
