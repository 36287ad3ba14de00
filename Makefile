# make demo: set up, then the whole chain on the embedded synthetic dataset.   make test: lint, types, all tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(CURDIR)/$(VENV)/bin

.PHONY: demo test slow clean

demo: $(VENV)/.core
	PATH="$(BIN):$$PATH" sh demo.sh

test: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH="$(BIN):$$PATH" $(BIN)/python -m pytest --numprocesses auto --dist loadfile

slow: $(VENV)/.test
	PATH="$(BIN):$$PATH" $(BIN)/python -m pytest -m slow

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: $(VENV)/bin/pip pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.test: $(VENV)/.core
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
