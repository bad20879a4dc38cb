# make demo   train, sample and restore on built-in data; the report lies in demo/
# make test   format, lint, types, floors and every test
# make docs   the documentation as a site, its examples executed: build/docs/index.html
# Each makes the virtual environment it needs in .venv, once.

PYTHON ?= python3
DEMO_FLAGS ?=
PIP = .venv/bin/python -m pip install --quiet --constraint constraints.txt --editable

.PHONY: help demo test check docs clean
help:
	@sed -n 's/^# make/make/p' Makefile

# A stamp is as old as the installation it stands for; the dev extra holds the demo extra.
.venv/demo.stamp: pyproject.toml constraints.txt | .venv
	$(PIP) '.[demo]'
	@touch $@

.venv/dev.stamp: pyproject.toml constraints.txt | .venv
	$(PIP) '.[dev]'
	@touch .venv/demo.stamp $@

.venv/docs.stamp: pyproject.toml constraints.txt | .venv
	$(PIP) '.[docs]'
	@touch $@

.venv:
	$(PYTHON) -m venv $@

demo: .venv/demo.stamp
	.venv/bin/unfog data fetch mni-t1
	.venv/bin/unfog demo --out demo $(DEMO_FLAGS)

check: .venv/dev.stamp
	.venv/bin/ruff format --check
	.venv/bin/ruff check
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo

# Fashion-MNIST comes from a Debian archive, which not every machine reaches; tests on what is not there skip.
test: check
	.venv/bin/unfog data fetch mni-t1
	@for name in fashion-mnist efficientnet-lite0 emoji minilm speech sounds; do .venv/bin/unfog data fetch $$name || echo "Going on without $$name."; done
	OMP_NUM_THREADS=1 .venv/bin/pytest -q --numprocesses auto --maxprocesses 8
	OMP_NUM_THREADS=1 .venv/bin/pytest -q -m "slow and not gpu" --numprocesses auto --maxprocesses 8

docs: .venv/docs.stamp
	.venv/bin/unfog data fetch mni-t1
	OMP_NUM_THREADS=1 MPLBACKEND=agg .venv/bin/python -m sphinx -c docs/site -W --keep-going -b html docs build/docs
	.venv/bin/codespell README.md CONTRIBUTING.md CHANGELOG.md docs examples src
	.venv/bin/interrogate --quiet src/unfog
	@echo "Open build/docs/index.html"

clean:
	rm -rf .venv demo build/docs docs/examples docs/project docs/reference .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
