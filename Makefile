# make demo: set up, then the whole chain on the embedded synthetic dataset.   make test: lint, types, all tests.
# make slow: the tests that `make test` leaves out.
# make test-processors: the tests of numbers four times, each time rounded as another processor rounds (long).
PYTHON ?= python3
VENV ?= .venv
BIN := $(CURDIR)/$(VENV)/bin

NUMBERS := $(addprefix tests/,data evaluation export flow methods metrics models predict train video)
# What an older processor rounds differently: torch and oneDNN without wide vectors, sums by a single thread.
PROCESSORS := "ATEN_CPU_CAPABILITY=default" "ONEDNN_MAX_CPU_ISA=SSE41" \
	"ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41" "OMP_NUM_THREADS=1"

.PHONY: demo test slow test-processors clean

demo: $(VENV)/.core
	PATH="$(BIN):$$PATH" sh demo.sh

test: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH="$(BIN):$$PATH" $(BIN)/python -m pytest --numprocesses auto --dist loadfile

slow: $(VENV)/.test
	PATH="$(BIN):$$PATH" $(BIN)/python -m pytest -m slow

test-processors: $(VENV)/.test
	@failed=0; for settings in $(PROCESSORS); do \
		echo "$$settings"; \
		env $$settings PATH="$(BIN):$$PATH" $(BIN)/python -m pytest $(NUMBERS) --numprocesses auto --dist loadfile \
			|| failed=1; \
	done; exit $$failed

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: $(VENV)/bin/pip pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[lite]'
	touch $@

$(VENV)/.test: $(VENV)/.core
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
