# The same commands for people and for CI. demo and test set up all they need; only python3 is expected.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
BASE_IMAGE ?= python:3.11-slim-bookworm
IMAGE ?= repmedsam
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' repmedsam_infer/__init__.py)
REVISION = $(shell git describe --always --dirty --abbrev=40 --exclude '*' 2>/dev/null || echo unknown)
BUILD = docker build --build-arg BASE_IMAGE=$(BASE_IMAGE) --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION)
COMPILE = $(BIN)/uv pip compile -q --upgrade --generate-hashes --python-version 3.11 \
	--python-platform x86_64-manylinux_2_28 --no-annotate --no-header
# TORCH=cpu: on Linux torch comes with gigabytes of CUDA, unless uv takes PyTorch's own builds for CPUs.
CPU_TORCH = $(if $(TORCH),$(BIN)/pip install -q uv && $(BIN)/uv pip install -q --python $(VENV) --torch-backend $(TORCH) -c constraints.txt torch,@:)
SHUT_OFF = --rm --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
	-m 8G --memory-swap 8G --user "$$(id -u):$$(id -g)"
AT_ONCE = --numprocesses auto --maxprocesses 4 --dist loadfile
HARDENED = --network none $(SHUT_OFF)

.PHONY: demo app app-speed serve-speed throughput pictures fuzz test fast lint check coverage docker docker-app docker-demo lock clean

demo: $(VENV)/run  ## masks on sample cases, as pictures
	rm -rf demo
	$(BIN)/repmedsam samples demo/cases
	$(BIN)/repmedsam predict -i demo/cases -o demo/segs --overlay demo/pictures
	$(BIN)/repmedsam evaluate -s demo/segs -g demo/cases
	$(BIN)/repmedsam report -s demo/segs -i demo/cases -o demo/report.html
	$(BIN)/python -m repmedsam_infer.drawing.collage demo/cases demo/segs demo/demo.png
	@echo "Look at demo/demo.png and demo/report.html"

app: $(VENV)/app  ## the page in the browser, on sample cases
	$(BIN)/repmedsam samples demo/cases
	$(BIN)/repmedsam app demo/cases

test: $(VENV)/dev  ## all tests that this machine can run
	$(BIN)/pytest $(AT_ONCE) -m "not slow and not container"
	$(BIN)/pytest -m "(slow or container) and not cluster"
	$(BIN)/pytest $(AT_ONCE) -m cluster

.PHONY: test-slurm workflow
test-slurm: $(VENV)/dev workflow  ## array jobs on a Slurm brought up here (slurm-wlm, munge), Snakemake on it, files for Kubernetes
	$(BIN)/pytest $(AT_ONCE) -m cluster

workflow: $(VENV)/workflow/made  ## Snakemake, in an environment of its own

fast: $(VENV)/dev  ## the tests of every commit
	$(BIN)/pytest $(AT_ONCE) -m "not slow and not container"

lint: $(VENV)/dev  ## format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint fast  ## what a change has to pass

coverage: $(VENV)/dev  ## lines that the tests of every commit reach
	$(BIN)/pytest -m "not slow and not container" --cov=repmedsam_infer --cov=repmedsam_train --cov-report=term

docker:  ## the container image of the challenge
	$(BUILD) -t $(IMAGE) .

.PHONY: docker-files app-image docker-images
docker-files:  ## the command line in a container, on files as people have them
	$(BUILD) --target files -t $(IMAGE)-files .

app-image:
	$(BUILD) --target app -t $(IMAGE)-app .

docker-images: docker docker-files app-image  ## all three, as tests marked container need them

docker-app: app-image  ## the page in a container, on the images of ./images: shut off from the network, but for its port
	mkdir -p images
	docker network inspect $(IMAGE)-app >/dev/null 2>&1 || \
		docker network create -o com.docker.network.bridge.enable_ip_masquerade=false $(IMAGE)-app
	docker run -it $(SHUT_OFF) --network $(IMAGE)-app -p 127.0.0.1:8321:8321 \
		-v "$$PWD/images:/workspace/images" -v $(IMAGE)-kept:/workspace/kept $(IMAGE)-app

docker-demo: docker  ## the image on sample cases, fully sandboxed
	rm -rf demo/docker && mkdir -p demo/docker/inputs demo/docker/outputs
	docker run $(HARDENED) -v "$$PWD/demo/docker/inputs:/workspace/samples" $(IMAGE) repmedsam samples samples
	docker run $(HARDENED) -v "$$PWD/demo/docker/inputs:/workspace/inputs:ro" \
		-v "$$PWD/demo/docker/outputs:/workspace/outputs" $(IMAGE) sh predict.sh

app-speed: $(VENV)/dev  ## how quick the page is; nothing else should run
	$(BIN)/python -m tests.app_speed

serve-speed: $(VENV)/dev  ## how quick the viewers' server is, and whether it leaks; nothing else should run
	$(BIN)/python -m tests.serve_speed

CASES ?= demo/cases
throughput: $(VENV)/dev  ## cases an hour by threads, --jobs and processes, on the npz cases of CASES; nothing else should run
	$(BIN)/python -m tests.throughput $(CASES)

.PHONY: own-data
DATASET ?= XRay_ufba425b
own-data: $(VENV)/dev  ## fine-tuning on 20 cases of CASES, before and after, in own/ (docs/finetuning.md); nothing else should run
	rm -rf own
	$(BIN)/python -m tests.own_data $(CASES) $(DATASET) --more seconds=600 --out own

pictures: $(VENV)/dev  ## the README's pictures of the page
	$(BIN)/python -m tests.page_pictures docs

SECONDS ?= 600
fuzz: $(VENV)/dev  ## hostile files, command lines and faults for SECONDS; what is found is kept in tests/fuzz/found
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

lock: $(VENV)/dev  ## requirements.txt of requirements.in
	$(BIN)/pip install -q uv
	$(COMPILE) requirements.in -o requirements.txt
	$(COMPILE) --no-emit-package numpy requirements-files.in -o requirements-files.txt
	$(COMPILE) --no-emit-package numpy requirements-app.in -o requirements-app.txt
	$(COMPILE) workflow/requirements.in -o workflow/requirements.txt

$(VENV)/run: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e '.[evaluate]'
	touch $@

$(VENV)/app: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e '.[app]'
	touch $@

$(VENV)/workflow/made: workflow/requirements.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q uv
	$(BIN)/uv venv -q --clear --python $(BIN)/python $(VENV)/workflow
	$(BIN)/uv pip install -q --compile-bytecode --python $(VENV)/workflow --require-hashes -r workflow/requirements.txt
	touch $@

$(VENV)/dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(CPU_TORCH)
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/run $(VENV)/app

clean:
	rm -rf $(VENV) demo own build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
