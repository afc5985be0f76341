# Radixloom. `make` alone lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- environment

.PHONY: setup clean
setup: .venv/.complete ## make .venv with everything that development needs

.venv/.complete: pyproject.toml
	@hack/setup.sh

clean: ## remove .venv and what tools left here (not the cache folder, ~/.cache/radixloom)
	@rm -rf .venv .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage dist build
	@find . -name __pycache__ -type d -prune -exec rm -r {} +

# --- use it

.PHONY: demo demo-down serve
demo: setup ## from nothing to a model's answer through a cluster's Service
	@$(BIN)/python -m hack.demo up

demo-down: setup ## take away what `make demo` made
	@$(BIN)/python -m hack.demo down

serve: setup ## the runtime alone, with the demo model on port 8000
	@$(BIN)/radixloom fetch demo >/dev/null
	@exec $(BIN)/radixloom serve

# --- the parts of the demo

.PHONY: cluster-up cluster-down images
cluster-up: setup ## a real Kubernetes on this machine; prints the kubeconfig's path
	@$(BIN)/python -m hack.cluster up

cluster-down: setup ## stop it and leave nothing behind
	@$(BIN)/python -m hack.cluster down

images: setup ## build the container images that changed; prints their names
	@$(BIN)/python -m hack.images build

# --- work on it

.PHONY: fmt lint types crds docs lock
fmt: setup ## format and fix
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lint: setup ## style and import contracts
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/lint-imports

types: setup ## pyright strict
	@$(BIN)/pyright

crds: setup ## regenerate the CustomResourceDefinition from the operator's types
	@$(BIN)/radixloom-operator crd >crds/llmservices.yaml
	@$(BIN)/radixloom-operator crd --chart >charts/radixloom/templates/crd.yaml

docs: setup ## make docs/models.md, api.md, llmservice.md and the dashboard anew
	@$(BIN)/python -m hack.models_page
	@$(BIN)/python -m hack.api_page
	@$(BIN)/python -m hack.llmservice_page
	@$(BIN)/python -m hack.dashboard

lock: setup ## pin the images' packages anew (docker/requirements)
	@hack/lock.sh

# --- prove it

.PHONY: test test-unit clients e2e soak bench
test: setup ## everything: unit, real model, real cluster
	@hack/test.sh tests/unit tests/clients tests/e2e

test-unit: setup ## quick tests: no cluster, no model
	@# one worker more than cores: tests of processes mostly wait
	@$(BIN)/pytest tests/unit -m 'not slow' -q -n $$(( $$(nproc) + 1 )) --dist worksteal

clients: setup ## ask a server (URL, MODEL; else one of its own) by each client that we know
	@$(BIN)/python -m hack.clients $(if $(URL),--url $(URL)) $(if $(MODEL),--model $(MODEL))

e2e: setup ## the tests against a cluster alone
	@hack/test.sh tests/e2e

soak: setup ## kill the operator after every write, and twenty lives with a faulty API server
	@$(BIN)/python -m bench.operator_faults

bench: setup ## figures of this machine (without other engines: bench/workloads.py --peers)
	@hack/bench.sh
