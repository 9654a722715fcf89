# Needs Python 3.11 to 3.13 and make. Variables: PYTHON, VENV, EXTRAS, CONFIG, WORKDIR, ARGS, TESTS,
# FAULTS (options of tests/faults/campaign.py).
PYTHON ?= python3
VENV ?= .venv
EXTRAS ?= test
CONFIG ?= experiments/digits_50.py
# The run's folder; where it is empty, the program's own choice: runs/ and the configuration's name.
WORKDIR ?=

.PHONY: run test test-faults lint docs

run: $(VENV)
	$(VENV)/bin/python -m experiments.main --config=$(CONFIG) $(if $(WORKDIR),--workdir=$(WORKDIR)) $(ARGS)

test: $(VENV)
	$(VENV)/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(TESTS)

test-faults: $(VENV)
	$(VENV)/bin/python -m tests.faults --kills=100 --damages=all --configs=500 --files=200 $(FAULTS)

lint: $(VENV)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

# The documentation site, build/docs/index.html; a warning is an error.
docs: $(VENV)/.complete-docs
	$(VENV)/bin/python -m sphinx -W --keep-going -n -q docs build/docs

# A mark for each of the extras, written last: a build that was cut off is taken up again.
comma := ,
.PHONY: $(VENV)
$(VENV): $(addprefix $(VENV)/.complete-,$(subst $(comma), ,$(EXTRAS)))
$(VENV)/.complete-%: setup.cfg requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "error: Python 3.11 to 3.13 is needed, not " + sys.version.split()[0] + "; name one with PYTHON=")'
	@echo 'building $(VENV) with the extra $*: packages are downloaded, which takes some minutes'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet --editable '.[$*]'
	touch $@
