# Everything from nothing: `make train` and `make test` make .venv first; done once, it costs nothing again.

PYTHON ?= python3
VENV ?= .venv
FLAGS ?=
TESTS ?= tests

BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Inside .venv, where git and the linter do not look.
AUDIT := $(VENV)/audit

.PHONY: help train test wheels site lint docs audit clean

help:
	@echo "make train   train the default (FLAGS='--config=configs/oxford_pets.py' adds flags)"
	@echo "make test    lint and test (TESTS=tests/program/test_cli.py for a part)"
	@echo "make wheels  build losses/ and trainer/guard/ as packages and try each where nothing else of ours is"
	@echo "make site    the documentation as a site, in site/; ends at a link that leads nowhere"
	@echo "make lint    the linter alone"
	@echo "make docs    write docs/config.md anew from configs/schema.py"
	@echo "make audit   check every installed version for known faults (asks PyPI)"
	@echo "PYTHON=python3.12 chooses the interpreter of .venv"

train: $(READY)
	$(BIN)/python main.py $(FLAGS)

# Three processes keep two cores busy, since tests of killed workers wait a lot; they take about 10 GB (two take 7).
# A file stays in one of them, so that it traces its functions once.
# tests/conftest.py says in which order they come.
test: lint
	$(BIN)/python -m pytest -n 3 --dist loadfile $(TESTS)

wheels: $(READY)
	.ci/wheel losses $(BIN)/python
	.ci/wheel trainer/guard $(BIN)/python

# Beside the program's own packages, which the site does not need.
site: $(READY)
	.ci/site $(BIN)/python $(VENV)/site "$(CURDIR)/site"

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .

docs: $(READY)
	$(BIN)/python -m configs.reading.help

# --strict: a package that could not be looked up is not one without faults.
# In an environment of its own: a tool that looks for faults should not be part of what it looks at.
audit: $(AUDIT)/.ready
	$(AUDIT)/bin/pip-audit --strict --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

clean:
	rm -rf $(VENV)

# The stamp is written last: an installation that broke off is begun again.
$(READY): requirements.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v <= (3, 13) else \
	  f"Python 3.10 to 3.13 is needed; $(PYTHON) is {v[0]}.{v[1]}. Name another one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@touch $(READY)

$(AUDIT)/.ready: $(READY)
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	@touch $@
