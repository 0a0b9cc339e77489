# What a stranger types: `make demo`, `make test`. What we type besides: `make lint`, `make lock`.
.DELETE_ON_ERROR:
.PHONY: help demo bench test unit lab-tests acceptance lint format lab set-up packages root lock clean
# What installs and what uses it would run at once under `make -j`.
.NOTPARALLEL:

STACK ?= nz-por-1
# What root runs leaves no files of root's in a user's checkout but those in build/.
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo env PYTHONDONTWRITEBYTECODE=1)
PYTHON := .venv/bin/python

# Debian packages of the lab; the servers' own are in the root image (lab/guest_image.py).
PACKAGES := python3-venv iproute2 nftables mmdebstrap systemd-container debian-archive-keyring curl procps iputils-ping

help:  ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1\t/' | expand -t 20

demo: root set-up packages  ## the pair on this machine: up, five failures, down (STACK=nz-por-1)
	@mkdir -p build  # before root does: the folder belongs to whom the checkout does
	$(SUDO) $(PYTHON) -m lab demo $(STACK)

bench: root set-up packages  ## the tutorial's pair and ours, every failure ten times: docs/failover.md (an hour and a half)
	$(SUDO) $(PYTHON) -m lab bench

lab: root set-up packages  ## the pair on this machine, to play with (STACK=nz-por-1; `python -m lab down` ends it)
	$(SUDO) $(PYTHON) -m lab up $(STACK)

test: unit lab-tests  ## every test that needs no cloud
	@echo "cloud tests: not run; \`make acceptance\` runs them, where there are the Pulumi CLI and OS_CLOUD"

unit: set-up  ## the program, its settings and its texts: needs nothing but pip
	$(PYTHON) -m pytest tests/unit

lab-tests: root set-up packages  ## the pair on this machine's kernel: needs root
	$(SUDO) $(PYTHON) -m pytest -p no:cacheprovider tests/lab

acceptance: set-up  ## the real engine on the cloud that OS_CLOUD names: makes servers there, and deletes them
	@if command -v pulumi >/dev/null && [ -n "$$OS_CLOUD" ]; then $(PYTHON) -m pytest tests/cloud; \
	else echo "cloud tests: not run (they need the Pulumi CLI on PATH and OS_CLOUD)"; fi

lint: set-up  ## formatting, rules, types, workflows
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m pyright
	@[ "$$(printf '%s\n' go1.21 "$$(go env GOVERSION 2>/dev/null)" | sort -V | head -n 1)" = go1.21 ] || \
	{ echo "the workflows were not checked, all else was: actionlint needs Go 1.21 or newer on PATH (https://go.dev/dl)" >&2; exit 1; }
	cd tools && go tool actionlint -shellcheck= -pyflakes= ../.github/workflows/*.yml

format: set-up  ## put everything into shape
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

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
	[ -z "$$missing" ] || { echo "Debian packages that are missing:$$missing"; $(MAKE) --no-print-directory root && \
	  $(SUDO) apt-get -qq update && \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -qq --yes --no-install-recommends install $$missing >/dev/null; }

root:
	@[ "$$(id -u)" = 0 ] || sudo true 2>/dev/null || \
	{ echo "This needs root (packages, network namespaces, containers): run it as root, or as a user who may sudo." >&2; exit 1; }

UV_COMPILE := .venv/bin/uv pip compile --quiet --no-header --no-emit-index-url --generate-hashes --universal --python-version 3.11

lock: set-up  ## pin every version with its hashes, from the *.in files
	$(UV_COMPILE) requirements.in -o requirements.txt
	$(UV_COMPILE) requirements-dev.in -o requirements-dev.txt
	$(UV_COMPILE) requirements-uv.in -o requirements-uv.txt

clean:  ## forget what was installed and built here; a running lab is not touched
	rm -rf .venv build .pytest_cache .ruff_cache .hypothesis
