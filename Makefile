# kindle-appliance: make run, and what developers need. All goes into .venv; nothing else on the machine changes.

PYTHON ?= $(shell for each in python3 python3.13 python3.12 python3.11; do \
	$$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$each && break; done)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run quick test soak check messages pictures bench clean

run: $(VENV)/installed  ## start the appliance here; ARGS="--port 8081" passes options on
	@exec $(BIN)/python -m kindle_appliance $(ARGS)

quick: $(VENV)/tested  ## the tests that need no root, no browser and no patience
	$(BIN)/pytest -q --ignore=tests/browsers --ignore=tests/appliance -m "not slow" $(ARGS)

test: $(VENV)/tested  ## all tests; what this machine cannot run is skipped with its reason
	-PYTHONPATH=tests $(BIN)/python -m browsers.engines
	-PYTHONPATH=tests $(BIN)/python -m appliance.tools
	-PYTHONPATH=tests $(BIN)/python -m appliance.debian
	@# Tests in browsers mostly wait: they run beside the others, and are told of after them.
	@mkdir -p build; \
	$(BIN)/pytest tests/browsers $(ARGS) > build/browsers.log 2>&1 & browsers=$$!; trap "kill $$browsers" INT TERM; \
	$(BIN)/pytest --ignore=tests/browsers $(ARGS); others=$$?; \
	wait $$browsers; in_browsers=$$?; cat build/browsers.log; \
	case $$others,$$in_browsers in 0,0 | 0,5 | 5,0) ;; *) exit 1 ;; esac  # 5: ARGS has chosen none of them

soak: $(VENV)/tested  ## the proofs that `make test` scales down, in full; half an hour; prints their figures
	-PYTHONPATH=tests $(BIN)/python -m browsers.engines
	-PYTHONPATH=tests $(BIN)/python -m appliance.tools
	$(BIN)/pytest -m soak --soak $(ARGS)

check: $(VENV)/tested  ## style, types; the shell scripts too, where shellcheck is installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	@if command -v shellcheck > /dev/null; then shellcheck -o all install.sh systemd/launcher; fi

messages: $(VENV)/tested  ## compile the catalogues of sentences
	$(BIN)/pybabel compile -d kindle_appliance/locale -D kindle_appliance

pictures: $(VENV)/tested  ## the pictures in docs/, taken anew in the old engine
	PYTHONPATH=tests $(BIN)/python -m browsers.engines
	$(BIN)/pytest -q tests/browsers/test_pictures.py -k "every_page and phantomjs-2.1.1"
	mkdir -p docs
	cp build/screenshots/long-600-3-phantomjs-2.1.1.png docs/reading.png
	cp build/screenshots/asking-600-3-phantomjs-2.1.1.png docs/asking.png
	cp build/screenshots/middle-600-8-phantomjs-2.1.1.png docs/large.png

bench: $(VENV)/tested  ## the figures of the page, on this machine
	PYTHONPATH=tests $(BIN)/python -m browsers.engines
	PYTHONPATH=tests $(BIN)/python -m bench.page
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
