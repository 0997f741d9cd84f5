# kindle-appliance: make run, and what developers need. Programs go into .venv; make run names the folder of its chats.
# Tests also use .engines, .llama, build and ~/.cache/kindle-appliance. Nothing else on the machine changes.

PYTHON ?= $(shell for each in python3 python3.13 python3.12 python3.11; do \
	$$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$each && break; done)
VENV := .venv
BIN := $(VENV)/bin
# All tests of a file run in one process: in their order, with fixtures of the whole file made once. They wait for half
# of their time, so there are more processes than the two cores that they are made for.
WORKERS := -n 3 --dist loadfile
USUAL := "not untraced and not alone"
ELSEWHERE := --ignore=tests/browsers --ignore=tests/appliance --ignore=tests/home

.PHONY: run quick coverage test home soak arm check messages pictures bench clean

run: $(VENV)/installed  ## start the appliance here; ARGS="--port 8081" passes options on
	@exec $(BIN)/python -m kindle_appliance $(ARGS)

quick: $(VENV)/tested  ## the tests that need no root, no browser and no patience
	$(BIN)/pytest -q $(WORKERS) $(ELSEWHERE) -m "not slow" $(ARGS)

coverage: $(VENV)/tested  ## the tests outside browsers and booted machines; how much code those of `make quick` reach
	@mkdir -p build
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(WORKERS) $(ELSEWHERE) -m $(USUAL) $(ARGS) || [ $$? = 5 ]
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report $(if $(ARGS),--fail-under=0)

# What waits runs beside what computes: tests in browsers beside those outside, and booted machines, two releases at
# once, beside those that compute much or measure the CPU time of their own thread. Output that would mix follows. A
# real model server computes much, so its tests run by themselves; those that measure time come last, on an idle machine.
# pytest ends with 5 if ARGS has chosen no test of a part.
test: $(VENV)/tested  ## all tests, each once; what this machine cannot run is skipped with its reason
	-PYTHONPATH=tests $(BIN)/python -m browsers.engines
	-PYTHONPATH=tests $(BIN)/python -m appliance.tools
	-PYTHONPATH=tests $(BIN)/python -m appliance.debian
	-PYTHONPATH=tests $(BIN)/python -m fakes.llama
	@mkdir -p build; failed=0; \
	$(BIN)/pytest $(WORKERS) tests/browsers -m $(USUAL) $(ARGS) > build/browsers.log 2>&1 & browsers=$$!; \
	trap "kill $$browsers" INT TERM; \
	$(MAKE) --no-print-directory coverage || failed=1; \
	$(BIN)/pytest -m untraced $(ARGS) > build/untraced.log 2>&1 & untraced=$$!; \
	trap "kill $$browsers $$untraced" INT TERM; \
	$(BIN)/pytest -n 2 --dist loadgroup tests/appliance -m $(USUAL) $(ARGS) || [ $$? = 5 ] || failed=1; \
	wait $$browsers || [ $$? = 5 ] || failed=1; cat build/browsers.log; \
	wait $$untraced || [ $$? = 5 ] || failed=1; cat build/untraced.log; \
	$(BIN)/pytest tests/home -m $(USUAL) $(ARGS) || [ $$? = 5 ] || failed=1; \
	$(BIN)/pytest -m alone $(ARGS) || [ $$? = 5 ] || failed=1; \
	exit $$failed

soak: $(VENV)/tested  ## the proofs that `make test` scales down, in full; half an hour; prints their figures
	-PYTHONPATH=tests $(BIN)/python -m browsers.engines
	-PYTHONPATH=tests $(BIN)/python -m appliance.tools
	$(BIN)/pytest -m soak --soak $(ARGS)

home: $(VENV)/tested  ## the tests with a real model server, and its set-up (130 MB); a minute
	PYTHONPATH=tests $(BIN)/python -m fakes.llama
	-PYTHONPATH=tests $(BIN)/python -m browsers.engines
	$(BIN)/pytest tests/home $(ARGS)

arm: $(VENV)/tested  ## install and use the appliance on three kinds of Raspberry Pi, emulated; as root; half an hour
	@PYTHONPATH=tests $(BIN)/python -m appliance.arm $(ARGS)

check: $(VENV)/tested  ## style, types; the shell scripts too, where shellcheck is installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	@if command -v shellcheck > /dev/null; then shellcheck -o all install.sh systemd/launcher; fi

messages: $(VENV)/tested  ## compile the catalogues of sentences
	$(BIN)/pybabel compile -d kindle_appliance/locale -D kindle_appliance

pictures: $(VENV)/tested  ## the pictures in docs/, taken anew in the old engine; the gallery, a sheet for each kind
	PYTHONPATH=tests $(BIN)/python -m browsers.engines
	$(BIN)/pytest -q -n 2 tests/browsers/test_pictures.py $(ARGS)
	mkdir -p docs
	cp build/screenshots/middle-600-48-phantomjs-2.1.1.png docs/reading.png
	cp build/screenshots/last-600-48-phantomjs-2.1.1.png docs/end.png
	cp build/screenshots/asking-first-600-48-phantomjs-2.1.1.png docs/asking.png
	cp build/screenshots/middle-600-13-phantomjs-2.1.1.png docs/large.png
	PYTHONPATH=tests $(BIN)/python -m browsers.sheets

bench: $(VENV)/tested  ## the figures of the page and of setting texts, on this machine; ten minutes
	PYTHONPATH=tests $(BIN)/python -m browsers.engines
	PYTHONPATH=tests $(BIN)/python -m bench.page
	PYTHONPATH=tests $(BIN)/python -m bench.pages
	PYTHONPATH=tests $(BIN)/python -m bench.stream
	PYTHONPATH=tests $(BIN)/python -m bench.memory
	PYTHONPATH=tests $(BIN)/python -m bench.wire
	$(BIN)/python -m bench.kinds
	$(BIN)/python -m bench.typesetting
	$(BIN)/python -m bench.markdown_libraries

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/python-is-new-enough:
	@if [ -z "$(PYTHON)" ] || ! "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
		echo "kindle-appliance needs Python 3.11 or newer, and found none. Install one, for example with" \
		"'sudo apt install python3.11 python3.11-venv', and run make again." >&2; exit 1; fi
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "Python's venv module is missing. Install it, for example with 'sudo apt install python3-venv'." >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	@touch $@

$(VENV)/installed: setup.cfg pyproject.toml | $(VENV)/python-is-new-enough
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/tested: setup.cfg pyproject.toml | $(VENV)/python-is-new-enough
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@ $(VENV)/installed
