# One command each. Everything is installed into .venv; nothing else on the machine is touched.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TESTS ?= tests
# Two files at a time. The others start processes, whose time is that of the clock: one after the other.
TOGETHER := tests/unit tests/property tests/conformance
FUZZ_SECONDS ?= 30
EXTRAS := .venv-extras
EXTRA_TESTS ?= tests/unit/inference tests/unit/sandbox/hostcalls/test_wasmedge_tensorflow.py \
    tests/property/test_host_functions.py tests/integration/test_tensorflow_guests.py

.PHONY: help demo test test-fault test-hostile test-mesh test-extras check format fuzz guests factory-line bench bench-sandbox bench-inference \
    bench-route clean

help:
	@echo "make demo          install into .venv and run the factory line: video, zipper, sandboxed functions, results"
	@echo "make test          install into .venv and run all tests (TESTS=tests/unit for some of them)"
	@echo "make test-mesh     run the tests of several zippers, some in network namespaces (as root; 2 minutes)"
	@echo "make test-fault    run the tests in which something is killed, stopped, cut or overfull (part of make test)"
	@echo "make test-hostile  run the tests in which strangers and clients mean ill to a zipper (part of make test)"
	@echo "make test-extras   install with full TensorFlow into .venv-extras (2.7 GB) and run the tests that need it"
	@echo "make check         format, lint, types, layers"
	@echo "make format        write the format that check wants"
	@echo "make fuzz          search for inputs that break the sandbox or the zipper (FUZZ_SECONDS=30 for each of the targets)"
	@echo "make guests        rebuild the WebAssembly guests (needs rustc and ziglang, see guests/README.md)"
	@echo "make factory-line  rebuild the demonstration's model and video (needs the training extra; long)"
	@echo "make bench         measure, and write benchmarks/results"
	@echo "make bench-sandbox measure the sandbox alone"
	@echo "make bench-inference  measure models in the sandbox, with and without a network"
	@echo "make bench-route   measure frames on their way alone, beside bare zenoh (about 6 minutes)"
	@echo "make clean         remove .venv and caches"

demo: $(VENV)/installed
	@$(BIN)/nearfield demo

test: $(VENV)/installed-test
ifeq ($(TESTS),tests)
	$(BIN)/python -m pytest -n 2 --dist loadfile $(TOGETHER)
	$(BIN)/python -m pytest $(addprefix --ignore=,$(TOGETHER)) tests
else
	$(BIN)/python -m pytest $(TESTS)
endif

test-mesh: $(VENV)/installed-test
	$(BIN)/python -m pytest tests/mesh

test-fault: $(VENV)/installed-test
	$(BIN)/python -m pytest tests/fault

test-hostile: $(VENV)/installed-test
	$(BIN)/python -m pytest tests/hostile

test-extras: $(EXTRAS)/installed
	$(EXTRAS)/bin/python -m pytest $(EXTRA_TESTS)

check: $(VENV)/installed-check
	$(BIN)/ruff format --check src tests training benchmarks
	$(BIN)/ruff check src tests training benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/installed-check
	$(BIN)/ruff format src tests training benchmarks
	$(BIN)/ruff check --fix src tests training benchmarks

fuzz: $(VENV)/installed-fuzz
	@for target in tests/fuzz/fuzz_*.py; do \
	    name=$$(basename $$target .py); mkdir -p .fuzz/$$name; \
	    echo "$$name: $(FUZZ_SECONDS) s"; \
	    $(BIN)/python -m tests.fuzz.$$name .fuzz/$$name -max_total_time=$(FUZZ_SECONDS) -max_len=1024 -len_control=0 \
	        -artifact_prefix=.fuzz/ -verbosity=0 -print_final_stats=1 || exit 1; done

guests:
	$(MAKE) -C guests

factory-line: $(VENV)/installed
	$(BIN)/pip install --quiet --editable '.[training]'
	$(BIN)/python -m training.factory_line

bench: $(VENV)/installed-bench $(VENV)/installed-test
	$(BIN)/python -m benchmarks

bench-sandbox: $(VENV)/installed
	$(BIN)/python -m benchmarks.bench_sandbox

# With the test tools come the packages that build and run the ONNX and OpenVINO models.
bench-inference: $(VENV)/installed-test
	$(BIN)/python -m benchmarks.bench_inference

bench-route: $(VENV)/installed-bench
	$(BIN)/python -m benchmarks.bench_route

clean:
	rm -rf $(VENV) $(EXTRAS) .fuzz .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

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

$(VENV)/installed-fuzz: $(VENV)/installed-test
	@echo "installing the fuzzer"
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	@touch $@

$(VENV)/installed-bench: $(VENV)/installed
	@echo "installing what draws the plots"
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

$(VENV)/installed-check: $(VENV)/installed
	@echo "installing the checking tools"
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[check]'
	@touch $@

$(EXTRAS)/installed: pyproject.toml
	@echo "installing nearfield with its extras into $(EXTRAS) (about 2.7 GB)"
	@$(PYTHON) -m venv $(EXTRAS)
	@$(EXTRAS)/bin/pip install --quiet --disable-pip-version-check --editable '.[test,tensorflow]'
	@touch $@
