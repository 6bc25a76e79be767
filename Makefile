# make demo      the main job: train on real data, compute and check every gradient, also over time, write report.html
# make test      every check of the project (what the integration server runs)
# make docs      the documentation, in build/docs
# make pictures  the pictures of the demo's report in README and documentation
# make bench     all gradients against the other libraries, in one run
# make format    put the source into its format
# make clean     remove what these targets wrote, but for the virtual environment
#
# Needs Python 3.11 or newer and nothing else: PYTHON=python3.12 make test names another one. `make test` opens the
# pages in Chromium: it installs Debian's if it may, or says what to do.
# An existing .venv is used; VENV=elsewhere names another one.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python
PIP := $(RUN) -m pip -qq --disable-pip-version-check install

# the same images to three networks: at once, and pixel by pixel to an Elman network of logistic units and to an LSTM
DEMO := $(BIN)/everygrad report --data digits-pixels --network 64,32,16,10 --network elman --network lstm \
  --activation tanh,sigmoid,tanh --epochs 30,4,5 --batch-size 32,64,64 --learning-rate 0.001,0.005,0.01 \
  --out report.html --json-out report.json
BENCH := $(RUN) -m benchmarks
# pytest-xdist starts a process for each core
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: demo test chromium latex docs pictures bench format clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed-demo
	$(DEMO)

test: $(VENV)/.installed-test chromium latex
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyrefly check --python-interpreter-path $(RUN)
	$(BIN)/lint-imports --no-logo
	$(ONE_THREAD) $(RUN) -m pytest -n auto

# The pages are opened in a real browser, with the system's chromium; as root on Debian it is installed if missing.
chromium:
	@command -v "$${EVERYGRAD_CHROMIUM:-chromium}" >/dev/null || command -v chromium-browser >/dev/null \
	  || command -v google-chrome >/dev/null || { \
	    if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	      echo "Installing Debian's chromium, for the tests in a browser ..."; \
	      apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends chromium fonts-dejavu-core >/dev/null; \
	    else \
	      echo "The tests in a browser need Chromium. Install it (Debian and Ubuntu: apt install chromium)," >&2; \
	      echo "or name yours: EVERYGRAD_CHROMIUM=/path/to/chrome make test" >&2; exit 1; \
	    fi; }

# Derivations are compiled with LaTeX where it is there; as root on Debian it is installed if missing.
latex:
	@command -v pdflatex >/dev/null || [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || { \
	  echo "Installing Debian's texlive, for the tests of what is written in LaTeX ..."; \
	  apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends \
	    texlive-latex-base texlive-latex-recommended >/dev/null \
	    || echo "There is no LaTeX: its tests are left out." >&2; }

docs: $(VENV)/.installed-test
	$(ONE_THREAD) $(RUN) -m sphinx -q -W --keep-going -E -d build/doctrees docs build/docs
	@echo "build/docs/index.html"

pictures: $(VENV)/.installed-test chromium demo
	$(RUN) docs/pictures.py report.html docs/images

bench: $(VENV)/.installed-bench
	$(BENCH)

format: $(VENV)/.installed-test
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

clean:
	rm -rf build dist src/*.egg-info report.html report.json mutants
	rm -rf .hypothesis .import_linter_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp for each set of extras, all in one environment; done again when pyproject.toml has changed.
$(VENV)/.installed-%: pyproject.toml | $(VENV)/.ready
	@echo "Installing everygrad[$*] into $(VENV) (the first time this takes some minutes) ..."
	@$(PIP) --editable ".[$*]"
	@touch $@

$(VENV)/.ready:
	@$(RUN) -m pip --version >/dev/null 2>&1 || { \
	  command -v "$(PYTHON)" >/dev/null 2>&1 || { \
	    echo "There is no $(PYTHON) here. Install Python 3.11 or newer, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }; \
	  "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "everygrad needs Python 3.11 or newer, $(PYTHON) is $$("$(PYTHON)" --version 2>&1). Name another: make PYTHON=python3.11" >&2; exit 1; }; \
	  "$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { \
	    echo "$(PYTHON) cannot make virtual environments: its module venv or ensurepip is missing." >&2; \
	    echo "On Debian and Ubuntu: apt install python3-venv. Or name another: make PYTHON=/path/to/python3.11" >&2; exit 1; }; \
	  echo "Making the virtual environment $(VENV) with $$("$(PYTHON)" --version) ..."; \
	  "$(PYTHON)" -m venv "$(VENV)"; }
	@touch $@
