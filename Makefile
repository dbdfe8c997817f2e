# `make demo` and `make test` each set up .venv from nothing and do the whole job.

PYTHON ?= python3
METHOD ?= adnet
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: help demo demo-train weights test test-slow test-demo test-monai-label test-napari bench lint clean
.NOTPARALLEL:

help:
	@echo "make demo       segment a phantom with the weights of $(METHOD), train two minutes, show the gain (METHOD=name for another)"
	@echo "make demo-train train $(METHOD) from random weights on the phantom, 6 minutes"
	@echo "make weights    remake the weights that come with the bundles, from nothing"
	@echo "make test       lint, types and fast tests"
	@echo "make test-slow  slow tests, and those on real scans when FEWSHOT_DATA names their folder"
	@echo "make test-demo  every bundle's demo to its end, half an hour"
	@echo "make test-monai-label  packaged bundles in a real MONAI Label server, in an environment of its own"
	@echo "make test-napari  the napari plugin in real windows, under xvfb-run where there is no screen"
	@echo "make bench      measure times and memory, an hour without a GPU, and write docs/benchmarks.md"
	@echo "make lint       ruff and mypy"
	@echo "make clean      remove .venv and everything that tools leave behind"

demo: .venv/.runtime
	$(BIN)/python -m common.tools.demo --bundle bundles/$(METHOD)

demo-train: .venv/.runtime
	$(BIN)/python -m common.tools.demo --bundle bundles/$(METHOD) --random-start

weights: .venv/.runtime
	$(BIN)/python -m common.tools.weights $(notdir $(wildcard bundles/*))

test: lint
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --durations 10 \
		-m "not slow and not demo and not gpu and not real_data and not monai_label and not napari"

test-slow: .venv/.development
	$(BIN)/python -m pytest -n auto --maxprocesses 2 --durations 10 \
		-m "(slow or real_data) and not gpu and not monai_label and not napari"

test-demo: .venv/.development
	$(BIN)/python -m pytest --durations 5 -m demo

test-monai-label: .venv/.development
	-tests/monai_label/environment.sh
	$(BIN)/python -m pytest -n auto --maxprocesses 2 --dist loadfile --durations 10 -m monai_label

test-napari: .venv/.development
	$(if $(DISPLAY),,$(if $(shell command -v xvfb-run),xvfb-run -a)) $(BIN)/python -m pytest --durations 10 -m napari

bench: .venv/.development
	$(BIN)/python -m tests.benchmarks

lint: .venv/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv .venv-monai-label build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps keep a second call from installing again.
.venv/.runtime: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) --editable .
	touch $@

.venv/.development: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) --editable ".[dev]"
	touch $@
