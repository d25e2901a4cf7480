SEED ?= 0
BIN := .venv/bin
BENCH := .venv-bench
# One thread in each of pytest's processes: they share the cores among themselves. By file: what a file sets up, once.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses=auto --maxprocesses=8 --dist=loadfile

.PHONY: setup flash demo demo-seeds paper-mini reproduction docs picture test test-all test-fast test-slow test-kills fuzz chaos gpu bench-step bench-graph bench-frozen bench-loader bench-harness lint clean

# PYTHON=python3.12 chooses another Python than the newest that will do, and makes .venv anew if it was of another one.
# WHEELS=DIR installs from what `make wheels WHEELS=DIR` collected elsewhere, and asks no registry.
setup:
	@python=$$(PYTHON="$(PYTHON)" scripts/find_python.sh) && WHEELS="$(WHEELS)" "$$python" -m scripts.bootstrap

.PHONY: wheels
wheels:
	@$(MAKE) --no-print-directory setup WHEELS=
	@$(BIN)/python -m scripts.wheels "$(WHEELS)"

flash: setup
	$(BIN)/pip install --quiet ninja packaging  # what its build imports and does not ask for
	$(BIN)/pip install --no-build-isolation --config-settings editable_mode=compat --editable ".[flash]"

demo: setup
	$(BIN)/run_all --suite demo --out runs/demo --seed $(SEED)

# Every engine for a few updates: what a report looks like, before a whole demo. Its numbers mean nothing.
.PHONY: look
look: setup
	$(BIN)/run_all --suite smoke --out runs/look
	@echo "runs/look/report.html: the report of these few updates"
	@echo "docs/reproduction.md: what a whole demo printed; docs/images/report.png: its report"

demo-seeds: setup
	$(BIN)/run_all --suite demo --out runs/demo --seed 0 --seed 1 --seed 2

# Every table of the paper on small models and generated pictures.
paper-mini: setup
	$(BIN)/run_all --suite mini --out runs/mini --seed $(SEED)

# docs/reproduction.md and the README's table, from the records in docs/reproduction. To take those of a finished run first:
# python -m scripts.reproduction demo runs/demo
reproduction: setup
	$(BIN)/python -m scripts.reproduction

# The pages and the Python API as a site, in build/site; a warning is an error, but with --quiet it would not be.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo "build/site/index.html"

# The README's picture: the first screen of the demo's report in a browser (Debian's chromium-driver).
picture: setup
	$(BIN)/python -m tests.support.browser runs/demo/report.html docs/images/report.png

test: lint test-fast

test-all: lint test-fast test-slow

test-fast: setup
	$(PYTEST) -m "not slow"

test-slow: setup
	$(PYTEST) -m "slow and not long" --durations=30

# The slow tests that take minutes each, for which continuous integration has no time: before a release.
.PHONY: test-long
test-long: setup
	$(PYTEST) -m long

# The walk-throughs of docs/your_data.md, from nothing to a report: some minutes.
.PHONY: walk
walk: setup
	WALK=1 $(PYTEST) -m slow tests/docs/test_pages.py -k whole_walks

# A run of 1,000 updates, killed ten times: prints what each restart said.
test-kills: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -s tests/crossmae/train/test_kills.py

# All that a GPU has to show, in half an hour at most: one JSON file and one page in runs/gpu. See docs/cuda.md.
gpu: setup
	$(BIN)/python -m benchmarks.gpu.run

# Every reader of foreign files on files that were made unsound, for an hour; what it must not do is printed.
FUZZ_MINUTES ?= 60
fuzz: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz $(FUZZ_MINUTES)

# Benchmarks that are disturbed at random, for an hour; their results must be those of an undisturbed one.
CHAOS_MINUTES ?= 60
chaos: setup
	OMP_NUM_THREADS=1 PYTHONPATH=. $(BIN)/python -m tests.chaos $(CHAOS_MINUTES)

# Training steps next to other implementations; the ratios come last. Nothing else should run meanwhile.
bench-step: $(BENCH)/ready
	$(BENCH)/bin/python -m benchmarks.step.compare

# Kernels and bytes of an update, eager and compiled for CUDA, and what it takes at least: counted without a GPU, in minutes.
bench-graph: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.graph.compare

# Fine-tuning, ViTDet, UperNet and COCO's evaluation next to timm, detectron2, mmsegmentation and pycocotools.
bench-downstream: setup
	$(BIN)/python -m benchmarks.downstream.compare

# Seconds of the commands that look at a benchmark: 500 runs, 100,000 files.
bench-harness: setup
	$(BIN)/python -m benchmarks.harness.commands

# Loading of photographs next to torchvision's, on one core; the ratios come last. Nothing else should run meanwhile.
bench-loader: $(BENCH)/ready
	OMP_NUM_THREADS=1 $(BENCH)/bin/python -m benchmarks.loader.compare

# 52 linear heads next to one, and logistic regression next to scikit-learn's. Nothing else should run meanwhile.
bench-frozen: $(BENCH)/ready
	OMP_NUM_THREADS=2 $(BENCH)/bin/python -m benchmarks.frozen.probes

# Packages that are only compared with live in an environment of their own, which sees everything in .venv.
$(BENCH)/ready: benchmarks/requirements.txt | setup
	$(BIN)/python -m venv $(BENCH)
	$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
	    > "$$($(BENCH)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/project.pth"
	$(BENCH)/bin/pip install --quiet --requirement $<
	touch $@

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
