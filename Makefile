# The commands of this project. `make` alone lists them.
.DELETE_ON_ERROR:
.PHONY: help demo bench lab test unit unit-with-other-python lab-tests acceptance lint lint-python lint-workflows format \
        hooks set-up packages root lock clean
# Under `make -j`, a recipe would otherwise run before what it uses is installed.
.NOTPARALLEL:

STACK ?= nz-por-1
# Another Python for the unit tests: a command on PATH or a file.
OTHER_PYTHON ?= python3.13
# Root writes only to build/, so that no other file in a user's checkout belongs to root.
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo env PYTHONDONTWRITEBYTECODE=1)
PYTHON := .venv/bin/python

# Debian packages that the lab needs on this machine. The servers' packages are in the root image (lab/guest_image.py).
PACKAGES := python3-venv iproute2 nftables mmdebstrap systemd-container debian-archive-keyring curl procps iputils-ping

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## */  make \1\t/' | expand -t 32

demo: root set-up packages  ## make the pair on this machine, break it, repair it, delete it (STACK=nz-por-1)
	@mkdir -p build  # made here, so that it belongs to the user and not to root
	$(SUDO) $(PYTHON) -m lab demo $(STACK)

bench: root set-up packages  ## measure failovers of the tutorial's pair and of this one: docs/failover.md (over 2 hours)
	$(SUDO) $(PYTHON) -m lab bench

lab: root set-up packages  ## make the pair on this machine and keep it (STACK=nz-por-1; delete it with `python -m lab down`)
	$(SUDO) $(PYTHON) -m lab up $(STACK)

test: unit lab-tests  ## run every test that needs no cloud
	@echo "cloud tests: not run; \`make acceptance\` runs them if the Pulumi CLI is on PATH and OS_CLOUD is set"

unit: set-up  ## test the program, its settings and the rendered texts (no root, no cloud)
	$(PYTHON) -m pytest tests/unit

unit-with-other-python: set-up  ## run the unit tests with another Python (OTHER_PYTHON=python3.13)
	@# Inside the project, because the gates' commands name an interpreter inside the project by its relative path.
	.venv/bin/uv venv --quiet --clear --no-python-downloads --python "$(OTHER_PYTHON)" build/other-python
	.venv/bin/uv pip sync --quiet --require-hashes --python build/other-python requirements-dev.txt
	build/other-python/bin/python -m pytest tests/unit

lab-tests: root set-up packages  ## test the pair on this machine's kernel (root)
	$(SUDO) $(PYTHON) -m pytest -p no:cacheprovider tests/lab

acceptance: set-up  ## test with the real engine on the cloud that OS_CLOUD names (makes and deletes servers there)
	@if command -v pulumi >/dev/null && [ -n "$$OS_CLOUD" ]; then $(PYTHON) -m pytest tests/cloud; \
	else echo "cloud tests: not run (they need the Pulumi CLI on PATH and OS_CLOUD)"; fi

lint: lint-python lint-workflows  ## check formatting, rules, types and workflows

lint-python: set-up
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m pyright

lint-workflows: set-up
	.venv/bin/zizmor --quiet --no-progress --offline --pedantic --strict-collection .
	@[ "$$(printf '%s\n' go1.21 "$$(go env GOVERSION 2>/dev/null)" | sort -V | head -n 1)" = go1.21 ] || \
	{ echo "actionlint did not run: it needs Go 1.21 or newer on PATH (https://go.dev/dl). All other checks passed." >&2; exit 1; }
	cd tools && go tool actionlint -shellcheck= -pyflakes= ../.github/workflows/*.yml

format: set-up  ## format all files and repair what ruff can repair
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

hooks: set-up  ## check every commit before it is made (pre-commit, with the tools in .venv)
	.venv/bin/pre-commit install

set-up: .venv/ready

.venv/ready: requirements-dev.txt requirements-uv.txt
	@python3 -c 'import ensurepip' 2>/dev/null || [ -x .venv/bin/pip ] || $(MAKE) --no-print-directory packages
	@[ -x .venv/bin/pip ] || python3 -m venv --clear .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
	.venv/bin/uv pip sync --quiet --require-hashes requirements-dev.txt
	@touch $@

packages:
	@missing=; for package in $(PACKAGES); do \
	  dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null | grep -qx installed || missing="$$missing $$package"; done; \
	[ -z "$$missing" ] || { echo "Debian packages to install:$$missing"; $(MAKE) --no-print-directory root && \
	  $(SUDO) apt-get -qq update && \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -qq --yes --no-install-recommends install $$missing >/dev/null; }

root:
	@[ "$$(id -u)" = 0 ] || sudo true 2>/dev/null || \
	{ echo "This needs root (packages, network namespaces, containers): run it as root, or as a user who may sudo." >&2; exit 1; }

# The header that uv writes says how the file was made. Dependabot repeats it.
UV_COMPILE := .venv/bin/uv pip compile --quiet --no-emit-index-url --generate-hashes --universal --python-version 3.11

lock: set-up  ## write requirements*.txt: every version and hash, from the *.in files
	$(UV_COMPILE) requirements.in -o requirements.txt
	$(UV_COMPILE) requirements-dev.in -o requirements-dev.txt
	$(UV_COMPILE) requirements-uv.in -o requirements-uv.txt

clean:  ## delete what was installed and built here (a running lab is left alone)
	rm -rf .venv build .pytest_cache .ruff_cache .hypothesis
