# Everything runs in .venv, which is made from constraints.txt: versions and hashes, no addresses. Nothing is installed outside this folder,
# except servers that tests start, which are built once into CACHE.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
NPM := PATH="$(CURDIR)/$(BIN):$$PATH" npm --no-audit --no-fund --loglevel=error
ROOMS := ledger anchor api cli
SOURCES := $(ROOMS) tests benchmarks docs deploy setup.py
# Built with the rest where cargo and a linker are there; otherwise the same is done in Python.
NATIVE := ledger/tree/native/Cargo.toml ledger/tree/native/crates.lock $(wildcard ledger/tree/native/src/*.rs)

.DEFAULT_GOAL := help
.PHONY: help demo serve test test-all test-contract servers lint format docs bench bench-quick soak clean lock wheel verifier-kit audit

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

demo: $(VENV)/.installed  ## Seal five files, verify them, alter one byte and see it found
	@$(BIN)/witnesstree demo
	@echo; echo "To type \`witnesstree\` in this shell from now on: source $(BIN)/activate"

serve: $(VENV)/.installed  ## Serve a ledger in build/home over HTTP, with embedded parts and a key printed
	@mkdir -p build
	@test -e build/home/home.json || { $(BIN)/witnesstree init --home build/home && $(BIN)/witnesstree tenant add me --home build/home && \
		echo "A key for the service, shown once:" && $(BIN)/witnesstree key add me --home build/home; }
	@exec $(BIN)/witnesstree serve --home build/home

# The contract's own tests run inside: tests/integration/test_artefact.py starts them. With REQUIRE_REAL=1 nothing may be missing, and coverage is measured: no branch of what
# decides a verdict may go untested; elsewhere 95 % leaves room for what only a fault that is rehearsed reaches.
DECIDING := */ledger/base/*,*/ledger/tree/*,*/ledger/log/*,*/ledger/tokens/*,*/ledger/chain/*,*/ledger/proof/*,*/ledger/verify/*,*/ledger/audit/*,*/ledger/trust.py
# Otherwise each of hundreds of processes compiles everything again.
unexport PYTHONDONTWRITEBYTECODE
PYTEST := pytest -n auto --dist worksteal --quiet
test: $(VENV)/.interop hardhat-config/node_modules/.installed  ## Run all tests, of the largest sets a part: some five and a half minutes
ifeq ($(REQUIRE_REAL),1)
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m $(PYTEST)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report --fail-under=95 --omit='$(DECIDING)'
	$(BIN)/python -m coverage report --fail-under=100 --include='$(DECIDING)'
else
	$(BIN)/python -m $(PYTEST)
endif

test-all: test  ## Run all tests, the large sets whole, and the rehearsals of crashes, power losses and restores
	$(BIN)/python -m $(PYTEST) -m rehearsal

test-contract: hardhat-config/node_modules/.installed  ## Run the contract's tests alone
	cd hardhat-config && $(NPM) run --silent artefact:check && $(NPM) test --silent

servers:  ## Install or build what tests run against, once: Debian's PostgreSQL, and by Go Kubo, geth, clef, a timestamp server and a witness, by Maven EU DSS
	tests/servers/debian.sh
	tests/servers/kubo.sh
	tests/servers/geth.sh
	tests/servers/clef.sh
	tests/servers/timestamp-server.sh
	tests/servers/litewitness.sh
	tests/servers/dss.sh

lint: $(VENV)/.installed  ## Check style, types, and the direction of the rooms
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/lint-imports
	@mkdir -p build/types/witnesstree
	@for room in $(ROOMS); do ln -sfn ../../../$$room build/types/witnesstree/$$room; done
	MYPYPATH=build/types $(BIN)/mypy -p witnesstree
	@if command -v cargo-clippy >/dev/null; then cargo fmt --check --manifest-path $(firstword $(NATIVE)) && cargo clippy --quiet --manifest-path $(firstword $(NATIVE)) -- -D warnings; \
		else echo "The native core is not checked here: cargo clippy is not installed"; fi

format: $(VENV)/.installed  ## Put the code into the house's form
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

docs: $(VENV)/.installed  ## Write docs/cli.md and docs/settings.md anew from the code
	$(BIN)/python docs/reference.py

# What cannot be installed or built here is said in the document, and the rest is measured.
bench: $(VENV)/.bench  ## Measure this machine against its peers, and write docs/benchmarks.md: some twenty minutes
	-benchmarks/peers/immudb.sh
	-benchmarks/peers/tessera.sh
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m benchmarks

bench-quick: $(VENV)/.bench  ## See that every benchmark runs, in two minutes; its figures are not kept
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m benchmarks --quick

soak: $(VENV)/.installed  ## Load a service for ten minutes while it and its worker are killed in turn, and see that nothing acknowledged is lost
	$(BIN)/python -m benchmarks.soak 600

lock: $(VENV)/.installed  ## Renew constraints.txt, and the lock files of the kit, the native core and the contract
	$(BIN)/uv pip compile pyproject.toml --extra ledger --extra serve --extra sm2 --extra lists --group dev --group release --group setup --upgrade --generate-hashes --universal \
		--python-version 3.11 --no-header --no-emit-index-url --quiet -o constraints.txt
	sed '/^ /d; s/ \\$$//' constraints.txt > build/pins.txt
	sed '/^cryptography==/d' build/pins.txt > build/pins-macos-x86_64.txt
	$(BIN)/uv pip compile pyproject.toml --constraint build/pins.txt --upgrade --generate-hashes --universal --python-version 3.11 \
		--no-header --no-emit-index-url --no-annotate --quiet -o deploy/kit/requirements.txt
	$(BIN)/uv pip compile pyproject.toml --constraint build/pins-macos-x86_64.txt --upgrade --generate-hashes --python-platform x86_64-apple-darwin --only-binary :all: --python-version 3.11 \
		--no-header --no-emit-index-url --no-annotate --quiet -o deploy/kit/requirements-macos-x86_64.txt
	cargo update --quiet --manifest-path $(firstword $(NATIVE))
	{ sed -n '/^#/p' ledger/tree/native/crates.lock; sed '/^#/d; /^source = /d' ledger/tree/native/Cargo.lock; } > build/crates.lock
	mv build/crates.lock ledger/tree/native/crates.lock
	cd hardhat-config && $(NPM) update

# On Linux: auditwheel finds out how old a system may be for the native core. Where a wheel of that does not fit, pip takes the other.
WHEEL := $(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation
wheel: $(VENV)/.installed  ## Make the wheels in dist/: with the native core, and without it for every other system
	rm -rf build/lib* build/bdist.* build/wheel dist/*.whl
	$(WHEEL) --wheel-dir build/wheel .
	@if ls build/wheel/*-none-any.whl >/dev/null 2>&1; then echo "The native core is not built here (that needs cargo and a linker): only the wheel for every system is made"; \
		else PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/auditwheel repair --wheel-dir dist build/wheel/*.whl; fi
	rm -rf build/lib* build/bdist.*
	WITHOUT_NATIVE_CORE=1 $(WHEEL) --wheel-dir dist .
	@ls dist/*.whl

verifier-kit: wheel  ## Make dist/verifier-kit: the verifier, to be installed without a network
	$(BIN)/python deploy/kit/make.py dist dist/verifier-kit
	@cd dist/verifier-kit && sha256sum SHA256SUMS

# A tool or a list of advisories that cannot be had is a failure here: nothing was found out then.
audit: $(VENV)/.installed hardhat-config/node_modules/.installed  ## Ask for known vulnerabilities of the packages that are locked
	@failed=; \
	$(PYTHON) -m venv build/audit && build/audit/bin/pip install --quiet --disable-pip-version-check pip-audit || failed="$$failed pip-audit"; \
	build/audit/bin/pip-audit --strict --disable-pip --require-hashes -r constraints.txt || failed="$$failed pip-audit"; \
	(cd ledger/tree/native && cargo audit) || failed="$$failed cargo-audit"; \
	(cd hardhat-config && npm audit --audit=true) || failed="$$failed npm-audit"; \
	[ -z "$$failed" ] || { echo "Vulnerable, or not found out:$$failed" >&2; exit 1; }

clean:  ## Remove what was installed and built
	rm -rf $(VENV) build dist *.egg-info ledger/tree/*.so ledger/tree/native/target ledger/tree/native/Cargo.lock hardhat-config/node_modules hardhat-config/artifacts hardhat-config/cache

$(VENV)/.installed: pyproject.toml setup.cfg constraints.txt $(NATIVE)
	@test -n "$(PYTHON)" || { echo "Error: Python 3.11 or newer is needed: install it, or name it with PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Error: $(PYTHON) is too old: Python 3.11 or newer is needed")'
	@echo "Installing into $(VENV), which takes about half a minute. Nothing outside of this folder is changed."
	@$(PYTHON) -m venv $(VENV)
	@echo "  the packages of constraints.txt …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	@echo "  witnesstree itself, and its native core where cargo is there …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# merkletools is an independent reader of our paths. It asks for a package that no longer builds; ours stands in for it, and where it cannot
# be built either, its test says so.
$(VENV)/.interop: $(VENV)/.installed
	-$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r tests/interop/requirements.txt
	@touch $@

$(VENV)/.bench: benchmarks/requirements.txt benchmarks/peers/openzeppelin/package-lock.json | $(VENV)/.installed
	-$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r benchmarks/requirements.txt
	-cd benchmarks/peers/openzeppelin && $(NPM) ci --silent
	@touch $@

hardhat-config/node_modules/.installed: hardhat-config/package.json hardhat-config/package-lock.json | $(VENV)/.installed
	@echo "  what compiles and tests the contract …"
	@cd hardhat-config && $(NPM) ci
	@touch $@
