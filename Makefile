# Everything sets itself up: `make run` and `make test` work on a fresh machine with Python 3.11, make and a compiler.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES_IN_C := src/weighbridge/facts/walk.c src/weighbridge/ledger/rows.c src/weighbridge/routing/looks.c \
  $(addprefix src/weighbridge/gateway/wire/,quick.h quick.c plain.c)
# Processes that share the tests, for two cores: one more than those, for many tests wait.
WORKERS ?= 3
# Per-prompt outcomes of many models, for measuring the router.
OUTCOMES ?= ../shared/data/routing
QUESTION ?= What is 37 plus 58?
# Each of many short processes would compile all that it imports.
export PYTHONDONTWRITEBYTECODE :=
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation

.PHONY: help run setup test lint check format bench soak fuzz lock specialists stop clean

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: $(VENV)/.run  ## set up, serve the bundled models in the background, answer a question
	@$(BIN)/weigh up --detach
	@echo "Q: $(QUESTION)"
	@$(BIN)/weigh chat "$(QUESTION)"
	@echo "The gateway serves on. Try:  $(BIN)/weigh chat   $(BIN)/weigh ps   $(BIN)/weigh stop"

stop:  ## stop what `make run` started
	@$(BIN)/weigh stop

setup: $(VENV)/.dev  ## a virtual environment with the package, its locked dependencies and the development tools

$(VENV)/bin/python:
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "make: $(PYTHON) cannot make virtual environments:" \
	  "on Debian, apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.run: requirements/run.txt pyproject.toml hatch_build.py $(SOURCES_IN_C) | $(VENV)/bin/python
	@echo "installing the package with its locked dependencies into $(VENV)"
	@$(PIP_INSTALL) --require-hashes -r requirements/run.txt
	@$(PIP_INSTALL) --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	@echo "installing the development tools into $(VENV)"
	@# What is used of the tools is compiled when it is: all of them would take as long as the rest.
	@$(PIP_INSTALL) --no-compile --require-hashes -r requirements/dev.txt
	@touch $@

test: $(VENV)/.dev  ## the tests
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal

lint: $(VENV)/.dev  ## format, lint, types, import contract
	@$(BIN)/ruff format --quiet --check src tests benchmarks docs
	@$(BIN)/ruff check --quiet src tests benchmarks docs
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache --no-logo

check: lint test  ## lint, then the tests

format: $(VENV)/.dev  ## put the code into its format
	@$(BIN)/ruff format src tests benchmarks docs
	@$(BIN)/ruff check --fix src tests benchmarks docs

bench: $(VENV)/.dev  ## the measured figures of the README
	@$(BIN)/python benchmarks/facts_exact.py --write docs/exactness.md
	@$(BIN)/python benchmarks/facts_speed.py
	@$(BIN)/python benchmarks/fit_memory.py --write docs/fit-exactness.md
	@$(BIN)/python benchmarks/fit_fleet.py
	@$(BIN)/python benchmarks/fit_speed.py
	@$(BIN)/python benchmarks/hub_resume.py
	@$(BIN)/python benchmarks/engine_process.py
	@$(BIN)/python benchmarks/model_swap.py
	@$(BIN)/python benchmarks/compare_speed.py
	@$(BIN)/python benchmarks/eval_harness.py --peers --write docs/evals-speed.md
	@$(BIN)/python benchmarks/claims_quality.py --write docs/claims-quality.md
	@$(BIN)/python benchmarks/claims_verdicts.py
	@if [ -d $(OUTCOMES) ]; then $(BIN)/python benchmarks/routing_quality.py --data $(OUTCOMES) --most 1500 --folds 2 \
	  --write docs/routing-quality.md && $(BIN)/python benchmarks/routing_quality.py --data $(OUTCOMES) --most 1500 \
	  --folds 2 --embedding bundled --write docs/routing-quality-embedding.md; \
	  else echo "routing_quality: no outcomes of models in $(OUTCOMES), left out"; fi
	@$(BIN)/python benchmarks/gateway_speed.py --quick
	@$(BIN)/python benchmarks/first_answer.py

soak: $(VENV)/.dev  ## minutes of traffic with faults: no lost answer, no leak
	@$(BIN)/python -m pytest -m soak --timeout 1800 tests/soak tests/gateway/wire/test_relay.py tests/gateway/test_behaviour.py

fuzz: $(VENV)/.dev  ## ten minutes of damaged model files a reader, guided by coverage; requests by the OpenAPI document
	@$(PIP_INSTALL) --require-hashes -r requirements/fuzz.txt
	@$(BIN)/python -m pytest -m fuzz --timeout 1800 -s tests/fuzz tests/gateway/test_openapi.py
	@FUZZ_EXAMPLES=20 $(BIN)/python -m pytest --numprocesses $(WORKERS) --timeout 1800 tests/facts/test_walk.py tests/gateway/wire \
	  tests/gateway/test_plain_damaged.py tests/ledger/test_rows.py tests/machine/test_describe.py \
	  tests/openai_api tests/routing/test_constraints.py

lock:  ## write requirements/*.txt anew (needs uv)
	uv pip compile pyproject.toml --group build --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --quiet --upgrade -o requirements/run.txt
	uv pip compile pyproject.toml --group build --group dev --python-version 3.11 --generate-hashes --no-header \
	  --no-annotate --quiet -c requirements/run.txt -o requirements/dev.txt
	uv pip compile --group fuzz --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet \
	  -o requirements/fuzz.txt

specialists: $(VENV)/.dev  ## train the bundled models anew (PyTorch; under an hour on two cores)
	@$(PIP_INSTALL) --editable ".[train]"
	@$(BIN)/python -m weighbridge.training arithmetic extract

clean:  ## remove what was made here
	rm -rf $(VENV) build dist *.egg-info src/weighbridge/facts/_walk.so
