# make study   everything from a fresh machine to a verdict      make test      lint and all everyday tests
# make bench   start-up, compiling, docs/benchmarks.md: us and others make test-all  and the exhaustive ones
# make soak    endurance: a hundred kills                       make docs      docs/parts and docs/models.md
# make attention-table   measures on this machine which form of attention is fastest, and writes the table

VENV := .venv
BIN := $(VENV)/bin

# python3.11 if there is one, else the newest python3 of at least 3.11.
PYTHON ?= $(shell for name in python3.11 python3.15 python3.14 python3.13 python3.12 python3; do \
	if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$name; break; fi; done)
TORCH := $(shell sed -n 's/^torch==//p' constraints.txt)

.PHONY: study test test-all soak lint bench attention-table docs clean

study: $(VENV)/.ready
	$(BIN)/paribus study ffn

test: lint
	$(BIN)/python -m pytest -n 2

test-all: lint
	$(BIN)/python -m pytest -n 2 -m "not soak"

soak: $(VENV)/.test-ready
	$(BIN)/python -m pytest -m soak

lint: $(VENV)/.test-ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: $(VENV)/.test-ready
	$(BIN)/pip install -q --no-deps -r benchmarks/peers.txt
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/compile_time.py
	$(BIN)/python benchmarks/waiting.py
	$(BIN)/python benchmarks/pages.py docs/benchmarks.md

attention-table: $(VENV)/.ready
	$(BIN)/python benchmarks/attention_table.py

docs: $(VENV)/.ready
	$(BIN)/python -m paribus.figures.docs docs/parts
	$(BIN)/pip install -q -c constraints.txt transformers
	$(BIN)/paribus catalog models --refresh --markdown --evidence > docs/models.md

clean:
	rm -rf $(VENV) build src/*.egg-info .mypy_cache .ruff_cache .pytest_cache

$(VENV)/.torch: constraints.txt
	@test -n "$(PYTHON)" || { echo "Paribus needs Python 3.11 or newer, and none was found"; exit 2; }
	$(PYTHON) -m venv $(VENV)
# Without a GPU a CPU build does: from where pip already looks, else from PyTorch's own index, else any build.
	@if command -v nvidia-smi >/dev/null 2>&1 || [ "$$(uname)" = Darwin ]; then \
		$(BIN)/pip install -q -c constraints.txt "torch==$(TORCH)"; \
	else \
		$(BIN)/pip install -q -c constraints.txt "torch==$(TORCH)+cpu" 2>/dev/null \
		|| $(BIN)/pip install -q -c constraints.txt --extra-index-url https://download.pytorch.org/whl/cpu "torch==$(TORCH)+cpu" 2>/dev/null \
		|| $(BIN)/pip install -q -c constraints.txt "torch==$(TORCH)"; \
	fi
	@touch $@

$(VENV)/.ready: $(VENV)/.torch pyproject.toml
	$(BIN)/pip install -q -c constraints.txt -e .
	@touch $@

$(VENV)/.test-ready: $(VENV)/.ready
	$(BIN)/pip install -q -c constraints.txt -e '.[test]'
	@touch $@
