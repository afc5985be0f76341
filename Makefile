# Radixloom. `make` alone lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/.complete ## make .venv with everything that development needs

$(VENV)/.complete: pyproject.toml
	@echo "→ Python environment in $(VENV) (about 1.2 GB, a minute or two the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet 'uv>=0.9'
	@$(BIN)/uv pip install --python $(VENV) --quiet -e '.[dev]'
	@touch $@

.PHONY: fmt lint types
fmt: setup ## format and fix
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .
lint: setup ## style and import contracts
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/lint-imports
types: setup ## pyright strict
	@$(BIN)/pyright

.PHONY: test-unit
test-unit: setup ## quick tests: no cluster, no model
	@$(BIN)/pytest tests/unit -m 'not slow' -q
