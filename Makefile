# Targets print what they do; `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
# Go wants to know where home is, also under a service or a cron job that does not say.
HOME ?= $(shell getent passwd "$$(id -u)" | cut -d: -f6)
export HOME

.PHONY: help demo test check lint quick unit format down environment kubeconfig golden site soak faults argo weights release bench-control-path bench-media-topology bench-calibration bench-reconcile bench-shared-memory bench-dataplane bench-observation bench-scraping bench-tuner bench-tuning-load

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## a real cluster with the operator, a camera and detections; stays up
	@$(PYTHON) hack/demo.py

test: ## everything: checks, unit tests, end-to-end tests on the real cluster
	@$(PYTHON) hack/test.py

check: lint quick ## formatter, linter, strict types, import layers, unit tests but the slow ones

lint:
	@hack/bootstrap.sh
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

quick:
	@hack/bootstrap.sh
	$(BIN)/pytest tests/unit -n auto -m 'not slow and not tritonserver and not soak and not weights'

unit: # all of them, as make test has it
	@hack/bootstrap.sh
	$(BIN)/pytest tests/unit -n auto -m 'not tritonserver and not soak'

format: ## format and mend what can be mended
	@hack/bootstrap.sh
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

golden: ## rewrite the golden files of the unit tests and docs/reference from what the code gives
	@hack/bootstrap.sh
	UPDATE_GOLDEN=1 $(BIN)/pytest tests/unit/plan tests/unit/gitops
	$(BIN)/python hack/reference.py

down: ## end the cluster: no process, mount, interface, rule or image is left
	@$(PYTHON) hack/down.py

site: ## a site of docs/ in build/site, with no link that leads nowhere; SITE_SOURCE=https://git.example.com/.../blob/main
	@hack/site.sh

environment: ## what a shell runs to have kubectl, its plugin and the cluster
	@hack/bootstrap.sh
	@$(PYTHON) hack/cluster.py environment

kubeconfig: ## print the path of the running cluster's kubeconfig
	@$(PYTHON) hack/cluster.py kubeconfig

soak: demo ## on a quiet machine: ten minutes at rest, ten without an operator, and all that is promised in seconds
	@hack/bootstrap.sh
	$(BIN)/pytest tests/e2e/test_healing.py tests/e2e/test_lifecycle.py --on-time -v -p no:cacheprovider
	$(BIN)/pytest tests/e2e -m soak --on-time -s -v -p no:cacheprovider

faults: ## kill the operator around every write, answer each with errors: the end is always the same
	@hack/bootstrap.sh
	$(BIN)/pytest tests/faults -m 'faults or not faults' -s -v -p no:cacheprovider

argo: demo ## a real Argo CD, built from its Go module, keeps a detector from git on the real cluster
	@hack/bootstrap.sh
	$(BIN)/pytest tests/e2e/test_argo_cd.py -m argo -v -p no:cacheprovider

weights: ## decode a trained model's outputs in a real Triton against plain code; installs the model, which is no part of this
	@hack/bootstrap.sh
	$(BIN)/pytest tests/unit/detector/test_yolov8_weights.py -m weights -v -p no:cacheprovider

release: ## all files of a release, into build/release; pushes nothing (docs/releasing.md). VERSION=0.1.0 URL=https://... IMAGES=no
	@hack/bootstrap.sh
	@$(BIN)/python -m releasing $(if $(VERSION),--version $(VERSION)) $(if $(URL),--url $(URL)) $(if $(IMAGES),--images $(IMAGES))

bench-control-path: ## change a live Triton through ConfigMap, annotation and plain load; count errors and gaps
	@hack/bootstrap.sh
	@$(BIN)/python -m bench.control_path

bench-media-topology: ## 35 cameras as a pod each, in shards, in one process: who is disturbed by what
	@hack/bootstrap.sh
	@$(BIN)/python -m bench.media_topology

bench-calibration: ## the emulated accelerator against the reference's ladder
	@hack/bootstrap.sh
	@$(BIN)/python -m bench.calibration

bench-reconcile: ## up to 1,000 EdgeDetectors on a bare API server: times, calls, memory
	@hack/bootstrap.sh
	@$(BIN)/python -m bench.reconcile

bench-shared-memory: ## tensors in shared memory against tensors in the gRPC message: time and client CPU
	@hack/bootstrap.sh
	@PYTHONPATH=operator $(BIN)/python -m bench.shared_memory

bench-dataplane: ## CPU a camera against OpenCV and ffmpeg pipes, batches, perf_analyzer, the emulated KS20; PARTS="cpu ks20"
	@hack/bootstrap.sh
	@PYTHONPATH=operator $(BIN)/python -m bench.dataplane $(PARTS)

bench-observation: ## what it costs a pod to be asked for its load, and the operator to make a window of it
	@hack/bootstrap.sh
	@PYTHONPATH=operator $(BIN)/python -m bench.observation

bench-scraping: ## what Prometheus' scrapes cost the detector and Triton, beside turns without; OPTIONS="--cameras 35"
	@hack/bootstrap.sh
	@PYTHONPATH=operator $(BIN)/python -m bench.scrape_cost $(OPTIONS)

bench-tuner: ## the tuner on 200 simulated servers whose best is known; ARGUMENTS="simulate --held-out", "interrupted 100" (fleets), "emulated" (the live cases in virtual time), "real", "live", "rivals", "reconfigure 1000" (real Tritons)
	@hack/bootstrap.sh
	@PYTHONPATH=operator $(BIN)/python -m bench.tuner $(or $(ARGUMENTS),simulate)

bench-tuning-load: ## what tuning 100 and 1,000 detectors costs the operator, at rest and while all converge
	@hack/bootstrap.sh
	@PYTHONPATH=operator $(BIN)/python -m bench.tuning_load
