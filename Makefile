# Both main targets set up what they need: a Python 3.10 or later and make are enough.
PYTHON ?= python3
CONSTRAINTS = -c constraints.txt
RUN = .venv/bin
TEST = .venv-test/bin
PIP_FLAGS = --quiet --disable-pip-version-check

.PHONY: quickstart test lint types unit programs schemas clean help

help:
	@echo "make quickstart   fetch two small real models into ./quickstart and prove that they load"
	@echo "make test         lint, types and all tests, in an environment of its own"
	@echo "make clean        remove both environments and what quickstart made"

quickstart: .venv/.installed
	$(RUN)/fetch all quickstart
	$(RUN)/fetch tree quickstart
	@test -f .venv/.probes || { echo "installing what the probes load models with (PyTorch is large)"; \
	  $(RUN)/pip install $(PIP_FLAGS) $(CONSTRAINTS) -e ".[state-dict]" && touch .venv/.probes; }
	$(RUN)/fetch verify quickstart --python $(RUN)/python
	@echo "a second time there is nothing left to do:"
	$(RUN)/fetch all quickstart

test: lint types unit

lint: .venv-test/.installed
	$(TEST)/ruff check .
	$(TEST)/ruff format --check .

# Type checkers cannot follow the mapped packages of an editable install: check an installed copy.
types: .venv-test/.installed
	rm -rf build && $(TEST)/pip install $(PIP_FLAGS) --no-deps --target build/types .
	cd build/types && MYPYPATH=. ../../$(TEST)/mypy --config-file ../../setup.cfg -p fetcher
	MYPYPATH=build/types $(TEST)/mypy --config-file setup.cfg tests

# What some tests run against; where it cannot be installed they are skipped.
programs:
	@install() { PATH=$$PATH:/usr/sbin command -v $$1 >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	    apt-get install -y --no-install-recommends $$2 >/dev/null; } || \
	  echo "$$1 is not installed: its tests are skipped"; }; \
	install docker-registry docker-registry; install nginx nginx-light

unit: .venv-test/.installed programs
	FETCH_TEST_OLDEST_HUB=$(CURDIR)/.venv-test/oldest-hub $(TEST)/python -m pytest -n 2

schemas: .venv-test/.installed
	$(TEST)/fetch schema manifest > docs/manifest.schema.json
	$(TEST)/fetch schema layout > docs/layout.schema.json

.venv/.installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(RUN)/pip install $(PIP_FLAGS) $(CONSTRAINTS) -e .
	touch $@

.venv-test/.installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-test
	$(TEST)/pip install $(PIP_FLAGS) $(CONSTRAINTS) -e ".[test]"
	rm -rf .venv-test/oldest-hub
	$(TEST)/pip install $(PIP_FLAGS) --target .venv-test/oldest-hub "huggingface_hub==0.30.*" requests
	touch $@

clean:
	rm -rf .venv .venv-test build quickstart .fetch
