# Every target sets up what it needs; a fresh Debian 12 needs only: apt-get install make python3-venv
# Another Python: PYTHON=python3.12 make test   (its environment is kept apart, in .venv-python3.12)

PYTHON ?= python3
VENV   ?= .venv$(if $(filter-out python3,$(PYTHON)),-$(notdir $(PYTHON)))
BIN    := $(VENV)/bin
WORKERS ?= auto
# of the driver, for CuPy: 13 or 12
CUDA ?= 13
PYTEST := $(BIN)/python -m pytest -q -n $(WORKERS) --maxprocesses 8 --dist worksteal
MYPY_TREE := build/mypy

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test exhaustive parity cuda-host cuda gpu-check coverage lint format bench clean distclean
# Workers of several threads each share the cores: a waiting thread of PyTorch must sleep, not spin (ours know when to).
export OMP_WAIT_POLICY ?= passive

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

demo: $(VENV)/.test ## train a VAE on the digits and draw samples, about a minute
	@$(BIN)/tinygen train vae --data digits --out runs/demo

test: $(VENV)/.test ## the fast tier
	@$(PYTEST) -m "not exhaustive"

exhaustive: $(VENV)/.test ## what hypothesis draws, and the long tests
	@HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-exhaustive} $(PYTEST) -m exhaustive

parity: $(VENV)/.bench ## against PyTorch
	@$(PYTEST) -m parity

cuda-host: $(VENV)/.test ## CUDA kernels without a GPU: run in all orders, under sanitizers, with faults; compiled for GPUs
	@$(PYTEST) tests/test_cuda_*.py
	@$(BIN)/python tests/cudamutants.py

cuda: $(VENV)/.test $(VENV)/.cuda$(CUDA) ## the CUDA tests on a GPU; with a driver of CUDA 12: CUDA=12 make cuda
	@TINYGEN_CUDA_TESTS=gpu $(PYTEST) -m cuda

gpu-check: $(VENV)/.bench $(VENV)/.test $(VENV)/.cuda$(CUDA) ## all that wants a GPU, in under ten minutes; writes build/gpu-check.json
	@mkdir -p build && $(BIN)/python -m tinygen.benchmarks.gpu_check --json build/gpu-check.json

# One process: coverage starts before anything of ours is imported, and follows the processes that tests start.
coverage: $(VENV)/.test $(VENV)/.bench $(VENV)/.dev ## the lines that the fast tier runs: at least 95 % of them
	@rm -f .coverage .coverage.*
	@$(BIN)/python -m coverage run -m pytest -q -m "not exhaustive"
	@$(BIN)/python -m coverage combine --quiet
	@rm -f .coverage.* # what is left was torn: tests kill processes as they write
	@$(BIN)/python -m coverage report --fail-under=95

lint: $(VENV)/.test $(VENV)/.dev ## ruff, its formatter, mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@rm -rf $(MYPY_TREE) && mkdir -p $(MYPY_TREE)/tinygen
	@ln -s $(CURDIR)/tinygen/* $(MYPY_TREE)/tinygen/
	@for moved in kernels benchmarks; do ln -s $(CURDIR)/$$moved $(MYPY_TREE)/tinygen/$$moved; done
	@$(BIN)/mypy $(MYPY_TREE)/tinygen

format: $(VENV)/.dev ## let ruff mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.bench ## against PyTorch, JAX and the machine; writes the README's table and build/bench/report.html
	@$(BIN)/python -m tinygen.benchmarks --json benchmarks/results.json --report build/bench
	@$(BIN)/python -m tinygen.benchmarks table

clean: ## what can be made again, without the environment
	rm -rf build dist *.egg-info runs/demo .coverage* .pytest_cache .ruff_cache .hypothesis .benchmarks
	find . -path './.venv*' -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

distclean: clean ## and the environment
	rm -rf $(VENV)

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is not installed. Run: sudo apt-get install $(notdir $(PYTHON))-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "make: tinygen needs Python 3.11 or newer, $(PYTHON) is older. Run: PYTHON=python3.12 make $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "make: $(PYTHON) cannot make a virtual environment. Run: sudo apt-get install $(notdir $(PYTHON))-venv" >&2; exit 1; }
	@echo "setting up $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)

# $(VENV)/.NAME says that the extra NAME of this setup.py is installed.
$(VENV)/.%: setup.py pyproject.toml | $(BIN)/python
	@echo "installing tinygen[$*] into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[$*]'
	@touch $@
