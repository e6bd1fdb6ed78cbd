# One command each. Everything is installed into .venv; nothing else on the machine is touched.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TESTS ?= tests

.PHONY: help demo test check format guests factory-line bench clean

help:
	@echo "make demo          install into .venv and run the factory line: video, zipper, sandboxed functions, results"
	@echo "make test          install into .venv and run all tests (TESTS=tests/unit for some of them)"
	@echo "make check         format, lint, types, layers"
	@echo "make format        write the format that check wants"
	@echo "make guests        rebuild the WebAssembly guests (needs rustc and ziglang, see guests/README.md)"
	@echo "make factory-line  rebuild the demonstration's model and video (needs the training extra; long)"
	@echo "make bench         measure, and write benchmarks/results"
	@echo "make clean         remove .venv and caches"

demo: $(VENV)/installed
	@$(BIN)/nearfield demo

test: $(VENV)/installed-test
	$(BIN)/python -m pytest $(TESTS)

check: $(VENV)/installed-check
	$(BIN)/ruff format --check src tests training benchmarks
	$(BIN)/ruff check src tests training benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/installed-check
	$(BIN)/ruff format src tests training benchmarks
	$(BIN)/ruff check --fix src tests training benchmarks

guests:
	$(MAKE) -C guests

factory-line: $(VENV)/installed
	$(BIN)/pip install --quiet --editable '.[training]'
	$(BIN)/python -m training.factory_line

bench: $(VENV)/installed
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/created:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else f"{sys.executable} is Python {sys.version.split()[0]}; nearfield needs 3.11 or newer: make PYTHON=/path/to/python3.11")'
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed: $(VENV)/created pyproject.toml
	@echo "installing nearfield and its engines into $(VENV) (about 250 MB, half a minute on a fast line)"
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	@echo "installing the test tools"
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

$(VENV)/installed-check: $(VENV)/installed
	@echo "installing the checking tools"
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[check]'
	@touch $@
