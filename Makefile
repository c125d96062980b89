.DEFAULT_GOAL := help
MIP6LAB := .venv/bin/mip6lab
AS_CALLER := setup/as-caller
EXPERIMENT ?= experiments/paper.toml
LAB ?= auto
LEVEL ?= main
TOPOLOGY ?= paper
RESULTS ?= results/paper/latest
JOBS ?= auto
SCHEDULES ?= 1000
fuzz_inputs = $(if $(INPUTS),--inputs=$(INPUTS)) $(foreach name,$(TARGET),--target=$(name)) $(if $(INPUT),--input=$(INPUT))
fuzz_schedules = $(if $(SEED),--seed=$(SEED),--count=$(SCHEDULES)) $(if $(SCENE),--scene='$(SCENE)')
run_options = --lab $(LAB) --jobs $(JOBS) $(if $(RUNS),--runs $(RUNS)) $(if $(SEED),--seed $(SEED))

# Files made as root in the user's folder would be in the user's way.
ifdef SUDO_UID
export PYTHONDONTWRITEBYTECODE := 1
endif

.PHONY: help setup experiment approaches test check fuzz lint plot bench peers interop doctor docs shell clean

help:
	@echo 'sudo make experiment    the paper'"'"'s measurement; installs what is missing (RUNS=3: 3 runs per variant)'
	@echo 'sudo make approaches    all approaches side by side, with Kea and NSD'
	@echo 'make test               all tests: check, those that need a lab or a virtual machine, and the container image'
	@echo 'make check              fast tests: lint, types, units; needs neither root nor a lab'
	@echo 'make fuzz               so many schedules of faults in the simulator (SCHEDULES=1000, SEED=17: that one)'
	@echo 'make fuzz INPUTS=10000  so many bad inputs for each decoder and machine (TARGET=dns: for that one)'
	@echo 'make lint               ruff, mypy and the layers alone'
	@echo 'make plot               draw the figures again (RESULTS=$(RESULTS))'
	@echo 'make bench              what the machines cost, without a network'
	@echo 'make peers              IKE and EAP-TLS beside strongSwan and hostap, in a lab'
	@echo 'make interop            who understands whom: strongSwan, libreswan, hostap, Kea, Wireshark and others (docs/interop.md)'
	@echo 'make docs               the documents as a site: build/site/index.html'
	@echo 'make doctor             what this machine has of what a lab needs'
	@echo 'make shell              a shell in the topology (TOPOLOGY=$(TOPOLOGY))'
	@echo 'make setup              only install what is missing (LEVEL=main; approaches, daemons or tests: more)'
	@echo 'make clean              remove caches, and what killed runs left'
	@echo 'JOBS=2                  so many labs at once, each on a CPU of its own'
	@echo 'LAB=native|vm|uml|sim   where hosts run; auto takes native if this kernel can do it'

setup:
	@setup/install $(LEVEL)

experiment:
	@setup/install main
	@$(MIP6LAB) run $(EXPERIMENT) $(run_options)

approaches:
	@setup/install approaches
	@$(MIP6LAB) run experiments/approaches.toml $(run_options)

test:
	@setup/install tests
	@$(MAKE) --no-print-directory check
	@.venv/bin/python tests/lab/run.py $(LAB)

check: lint
	@$(AS_CALLER) .venv/bin/python -m pytest -n auto

fuzz:
	@setup/install tests
	@$(AS_CALLER) .venv/bin/python -m \
		$(if $(INPUTS)$(TARGET)$(INPUT),tests.bad_bytes $(fuzz_inputs),tests.schedules $(fuzz_schedules))

lint:
	@setup/install tests
	@$(AS_CALLER) .venv/bin/ruff check
	@$(AS_CALLER) .venv/bin/ruff format --check
	@$(AS_CALLER) .venv/bin/mypy
	@$(AS_CALLER) .venv/bin/lint-imports --no-cache --no-logo

plot:
	@setup/install main
	@$(AS_CALLER) $(MIP6LAB) plot $(RESULTS)

bench:
	@setup/install main
	@$(AS_CALLER) $(MIP6LAB) bench

peers:
	@setup/install tests
	@$(MIP6LAB) exec --lab $(LAB) -- .venv/bin/python -m tests.lab.peers

interop:
	@setup/install tests
	@$(MIP6LAB) interop --lab $(LAB)

docs:
	@setup/install tests
	@NO_MKDOCS_2_WARNING=1 $(AS_CALLER) .venv/bin/python -m mkdocs build --quiet --strict
	@echo build/site/index.html

doctor:
	@setup/install main
	@$(MIP6LAB) doctor

shell:
	@setup/install main
	@$(MIP6LAB) shell $(TOPOLOGY) --lab $(LAB)

clean:
	@if [ -x $(MIP6LAB) ]; then $(MIP6LAB) clean; fi
	@rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find agents testbed topologies tests -name __pycache__ -prune -exec rm -rf {} +
