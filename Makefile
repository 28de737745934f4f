# Each target sets up what it needs. PYTHON picks the interpreter the virtual environment is made with (3.11 or newer).
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python -m
PIXELPROOF := $(VENV)/bin/pixelproof

.DEFAULT_GOAL := help
.PHONY: help demo test test-next lint bench clean

help: ## lists the targets
	@sed -n 's/^\([a-z-]*\):.* ## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(VENV)/.installed ## installs, then: images, detector, table, page
	$(PIXELPROOF) task=prepare experiment_id=demo datamodule=sample
	$(PIXELPROOF) task=fit experiment=demo experiment_id=demo datamodule.path=experiments_data/demo/data.h5
	$(PIXELPROOF) task=test experiment_id=demo
	$(PIXELPROOF) task=review experiment_id=demo

test: $(VENV)/.installed-dev ## installs, then runs every test that this machine can
	$(RUN) pytest -n 2 --dist loadfile

test-next: ## configuration and checkpoint tests with the next Hydra and OmegaConf, on every Python found
	sh tests/next.sh

lint: $(VENV)/.installed-dev ## runs ruff and mypy
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

bench: $(VENV)/.installed-dev ## measures speed against the originals' way and writes docs/speed.md
	$(RUN) bench

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("PixelProof needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ": make PYTHON=python3.11 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(RUN) pip install --disable-pip-version-check -q -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(RUN) pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev]'
	touch $@

clean: ## removes the environments and what was built
	rm -rf $(VENV) .venv-next build *.egg-info
