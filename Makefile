# Every verb does all of its own set-up: dependencies, the Node it needs, the build.
node := node scripts/with-node.mjs
IMAGE := genai-gateway-mcp
sources := $(shell find src -name '*.ts') package.json scripts/build.mjs scripts/licences.mjs

.PHONY: help setup build test types lint unit replay interop scorecard scorecard-long bench bench-image generate format image image-test release clean
.DEFAULT_GOAL := help

help: ## list the verbs
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

setup: node_modules/.package-lock.json ## install what the lock file names

build: dist/genai-gateway-mcp.mjs ## build dist/

test: types lint unit ## check types, lint, and run all tests

types: setup
	@$(node) tsc

lint: setup
	@$(node) biome check --error-on-warnings .

unit: build
	@$(node) node scripts/test.mjs

replay: build ## run the recorded cases through the built gateway, without key or network
	@$(node) node --import tsx scripts/replay.ts $(CASES)

interop: build spec/interop/node_modules/.package-lock.json ## compare with the vendors’ own SDKs, serve real MCP clients, and MCP’s conformance suite
	@$(node) tsc -p spec/interop
	@$(node) node scripts/test.mjs $(wildcard spec/interop/*.spec.ts)

scorecard: build ## attack the built gateway with faults, bad input and hostile peers; SEED=number
	@$(node) node --import tsx scripts/scorecard.ts

scorecard-long: build ## the one check of the scorecard that takes minutes
	@$(node) node --import tsx scripts/scorecard.ts --long

bench: build ## measure start-up, added latency and streaming on this machine
	@$(node) node --import tsx scripts/bench.ts

bench-image: image setup ## measure the same start inside the image, by this machine’s container engine
	@$(node) node --import tsx scripts/bench.ts --image $(IMAGE)

generate: setup ## write again what is made from the code: tool declarations, schemas, tables
	@$(node) node --import tsx scripts/generate.ts

format: setup ## format all files
	@$(node) biome check --write .

image: ## build the container image; IMAGE=name, DOCKER_BUILD=options of docker build
	docker build $(DOCKER_BUILD) --tag $(IMAGE) .

image-test: image setup ## run the image with as little as possible allowed, and speak MCP to it
	@IMAGE=$(IMAGE) $(node) node scripts/test.mjs $(wildcard spec/image/*.spec.ts)

release: setup ## build everything that is handed out, twice, compare, and say how to publish it
	@IMAGE=$(IMAGE) DOCKER_BUILD="$(DOCKER_BUILD)" $(node) node --import tsx scripts/release.ts

clean: ## remove what was built and installed
	rm -rf dist release node_modules spec/interop/node_modules

node_modules/.package-lock.json: package.json package-lock.json scripts/node-runtime/package.json
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@

spec/interop/node_modules/.package-lock.json: spec/interop/package.json spec/interop/package-lock.json
	@cd spec/interop && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

dist/genai-gateway-mcp.mjs: node_modules/.package-lock.json $(sources)
	@$(node) node scripts/build.mjs > dist.log 2>&1 || { cat dist.log; rm -f dist.log; exit 1; }
	@rm -f dist.log
