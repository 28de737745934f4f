# Each target installs what it needs. PYTHON is the interpreter for the virtual environment (3.11 or newer).
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python -m
PIXELPROOF := $(VENV)/bin/pixelproof

.DEFAULT_GOAL := help
.PHONY: help demo test test-next lint bench docs clean

help: ## lists the targets
	@sed -n 's/^\([a-z-]*\):.* ## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(VENV)/.installed ## installs, then trains and tests a small detector and writes the review page
	$(PIXELPROOF) task=prepare experiment_id=demo datamodule=sample
	$(PIXELPROOF) task=fit experiment=demo experiment_id=demo datamodule.path=experiments_data/demo/data.h5
	$(PIXELPROOF) task=test experiment_id=demo
	$(PIXELPROOF) models add experiments_data/demo/window_0/checkpoints/best.ckpt name=demo
	$(PIXELPROOF) task=review experiment_id=demo
	@echo "Open that page in a browser. Then try:"
	@echo "  $(PIXELPROOF) look photo.jpg"
	@echo "  $(PIXELPROOF) task=explore datamodule=sample"
	@echo "  $(PIXELPROOF) task=guess datamodule=sample guess.person=me   # needs: $(RUN) pip install '.[serve]'"

test: $(VENV)/.installed-dev ## installs, then runs every test that this machine can run
	$(RUN) pytest -n 2 --dist loadfile

test-next: ## tests configuration and checkpoints with the next Hydra and OmegaConf, on every installed Python
	sh tests/next.sh

lint: $(VENV)/.installed-dev ## checks style and types (ruff, mypy)
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

bench: $(VENV)/.installed-dev ## measures speed compared with the originals and writes docs/speed.md
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

docs: $(VENV)/.installed-dev ## builds the documentation as a site: site/index.html
	NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build

clean: ## removes virtual environments and build files
	rm -rf $(VENV) .venv-next build site *.egg-info
