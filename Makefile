# Two commands: `make demo` and `make test`. Each sets up all it needs in .venv, without root or a GPU.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Two test processes, one thread each, beat one process with two threads.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

.PHONY: demo test test-slow check format clean
.DELETE_ON_ERROR:

demo: $(VENV)/.demo
	$(BIN)/neurolatent demo --out out/demo

test: $(VENV)/.test
	$(PYTEST) -m "not slow"

test-slow: $(VENV)/.test
	$(PYTEST) -m slow

check: $(VENV)/.check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(VENV)/.check
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) out

# torch comes first: a later range that the pinned version satisfies then installs nothing more.
$(VENV)/.demo: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "neurolatent needs Python 3.11 or later; $(PYTHON) is `$(PYTHON) --version`. Try: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@echo "Installing neurolatent and its libraries into $(VENV) (a few minutes, once)"
	$(PIP) install --constraint constraints.txt torch
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.demo
	$(PIP) install --constraint constraints.txt --editable '.[test]'
	@touch $@

$(VENV)/.check: $(VENV)/.test
	$(PIP) install --constraint constraints.txt --editable '.[test,check]'
	@touch $@
