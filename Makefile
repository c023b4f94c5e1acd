# `make demo` and `make test` do all of the set-up, each alone: a virtual environment in .venv with the
# pinned versions of constraints.txt, once.
#
# On Linux the default torch wheel brings several GB of CUDA libraries. For the small CPU build, set
# PIP_EXTRA_INDEX_URL to PyTorch's CPU wheel index before the first `make`.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# TensorRT for RTX has wheels for Linux on x86-64; elsewhere the demo leaves its engines out and says so.
comma := ,
EXTRAS ?= dev$(if $(filter Linux-x86_64,$(shell uname -sm | tr ' ' '-')),$(comma)rtx$(comma)tensorrt-api)

.PHONY: help setup demo test test-full check docs format clean

help:
	@echo "make demo    compile emoji-turbo, draw eight prompts, report (build/demo)"
	@echo "make test    all tests but those of the full size"
	@echo "make test-full  SDXL-Turbo at its full size, synthetic weights (27 GB of disk, 13 GB of memory)"
	@echo "make check   lint, format, types, import rules"
	@echo "make docs    the documentation as a site (build/site)"
	@echo "make format  apply the format and the safe fixes"
	@echo "make clean   remove what make made, .venv included"

setup: $(READY)

demo: $(READY)
	$(BIN)/mixdq-eval demo --out build/demo

test: $(READY)
	$(BIN)/python -m pytest

test-full: $(READY)
	$(BIN)/python -m pytest -m full

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p mixdq
	$(BIN)/mypy tests
	PYTHONPATH=.typing $(BIN)/lint-imports

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "build/site/index.html"

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf build $(VENV)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mixdq needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[$(EXTRAS)]"
	@touch $@
