# Two commands matter: `make demo` and `make test`. Both work in a fresh clone that has Python 3.11 or newer with its
# headers, gcc and make; packages are installed from PyPI into $(VENV).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?= -q -n auto --dist loadfile
KERNELS := $(wildcard matching/*.py matching/*.pxd sim/*.pxd sim/*.py sim/bench/*.pxd) setup.py

.PHONY: demo test clients lint types check notebooks bench clean help
.DEFAULT_GOAL := help

help:
	@echo 'make demo    environment, compiled kernels, an offline demonstration run and its report'
	@echo 'make test    everything the test suite needs, then the suite'
	@echo 'make clients the environments of the third-party clients that the suite runs against the emulator'
	@echo 'make check   lint and types'
	@echo 'make notebooks  runs the notebooks and writes them as pages to build/notebooks'
	@echo 'make bench   the benchmark (make bench ARGS="--peers" runs the peers too)'
	@echo 'make clean   removes what builds and runs left behind'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "perpsim needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ": make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'setuptools>=77' 'Cython>=3.1'
	PERPSIM_REQUIRE_COMPILED=1 $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --editable '.[test,lint]'
	@touch $@

# An editable install compiles once; this recompiles whatever was edited since.
$(VENV)/.compiled: $(KERNELS) $(VENV)/.installed
	PERPSIM_REQUIRE_COMPILED=1 $(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@

demo: $(VENV)/.compiled
	@$(BIN)/python -c 'import matching, sys; sys.exit(not matching.build_info()["compiled"] and "make demo: the kernels are not compiled (PERPSIM_PURE set?)")'
	$(BIN)/perpsim demo

test: $(VENV)/.compiled
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# The tests make what they need of these themselves; this says at once which cannot be made, and why.
clients: $(VENV)/.installed
	$(BIN)/python tests/tools/client_envs.py

check: lint types

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy

notebooks: $(VENV)/.compiled
	$(BIN)/python tests/tools/notebooks.py build/notebooks

bench: $(VENV)/.compiled
	$(BIN)/perpsim bench $(ARGS)

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis runs perpsim-demo
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
	find matching venues recorders sim -name '*.so' -delete
	rm -f $(VENV)/.compiled $(VENV)/.installed
