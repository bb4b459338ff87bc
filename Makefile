# `make run` is all a new machine needs: Python 3.11 to 3.14 and a network.
# PYTHON=/path/to/python3.12 picks the interpreter, which is otherwise looked for.

PYTHON ?=
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help run test check spike drill lock upgrade clean bench

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST)

run: ## install what is missing, then start everything on this machine
	@tools/environment.sh runtime && exec .venv/bin/grandstand up

test: check ## every check and every test, as CI does
	@tools/from_debian.sh
	@tools/tests.sh

check: ## lint, format, types and the direction of imports
	@tools/environment.sh dev
	@echo "==> ruff check" && .venv/bin/ruff check .
	@echo "==> ruff format --check" && .venv/bin/ruff format --check .
	@echo "==> mypy" && .venv/bin/mypy
	@echo "==> lint-imports" && .venv/bin/lint-imports

SEEDS ?= 1000
FROM ?= 0
SEED ?=

simulate: ## evenings under seeds, with everything going wrong (SEEDS=20000; SEED=7 tells one; JOBS=1)
	@tools/environment.sh dev
	@.venv/bin/python -m tests.simulation.simulate $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) --from $(FROM)) $(if $(JOBS),--jobs $(JOBS))

UV_COMPILE = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes $(UPGRADE) \
	--custom-compile-command "make lock" pyproject.toml requirements/build.in

bench: ## what a bet costs, beside others that place the same bet: results/bench.html (QUICK=1)
	@tools/environment.sh dev && .venv/bin/python -m loadtest.bench $(if $(QUICK),--quick)

spike: ## play a Super Bowl: results/spike.html (SCALE=0.5, QUICK=1, OPTIONS="--sockets 200")
	@tools/environment.sh dev && SCALE=$(SCALE) QUICK=$(QUICK) .venv/bin/python -m loadtest.spike $(OPTIONS)

drill: ## kill it, fill its disk, stop it, while bets are placed: results/drill.html (ONLY=shard,gcs)
	@tools/environment.sh dev && .venv/bin/python -m loadtest.drill --only "$(ONLY)"

lock: ## write requirements/*.txt from pyproject.toml, keeping versions it still allows
	@tools/environment.sh uv
	@echo "==> requirements/lock.txt" && $(UV_COMPILE) -o requirements/lock.txt
	@echo "==> requirements/dev.txt" && $(UV_COMPILE) --extra dev --extra load \
		-c requirements/lock.txt -o requirements/dev.txt

upgrade: UPGRADE = --upgrade
upgrade: lock ## the same, moving to the newest versions it allows

clean: ## remove the environment and the caches; the data in .grandstand stays
	@rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis \
		.import_linter_cache .schemathesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
