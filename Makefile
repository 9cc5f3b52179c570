# The course in one word each:
#
#   make book         build the book, print the page to open
#   make test         everything that CI checks
#   make lab          open the notebooks in JupyterLab
#   make notebooks    run every notebook again and keep its outputs
#   make exercises    write the students' copies from the solved masters
#   make bench        time the library, side by side with simpler code
#   make clean        remove whatever the above made
#
# Each first makes .venv, if need be. Another Python: make PYTHON=python3.12 book

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
PAGE := _build/html/index.html

# Where threads wait for each other, they shall sleep, not spin: others need the core.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: help install book test lint test-book test-notebooks test-code lab notebooks exercises bench clean

help:
	@sed -n 's/^#   //p' Makefile

$(INSTALLED): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 10) or sys.exit("Python 3.10 or newer is needed; $(PYTHON) is %d.%d. Try: make PYTHON=python3.12" % v[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

install: $(INSTALLED)

book: $(INSTALLED)
	@$(BIN)/jupyter-book build . -n --quiet
	@echo "Open file://$(CURDIR)/$(PAGE)"

# -- everything that CI checks, cheapest first; the first failure stops it

test: lint test-book test-notebooks test-code
	@echo "All passed."

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# --all: a page that is not read again would not repeat its warnings.
test-book: $(INSTALLED)
	$(BIN)/jupyter-book build . --all -W -n --keep-going --quiet

# The training chapter is cut short: what it prints after training isn't compared.
test-notebooks test-code: export YOLOV3_LIB_SHORT := 1
# Two processes on two cores: one thread each, for torch and for numpy's linear algebra.
test-notebooks test-code: export OMP_NUM_THREADS := 1
test-notebooks test-code: export OPENBLAS_NUM_THREADS := 1

test-notebooks: $(INSTALLED)
	$(BIN)/python tools/notebooks.py exercises --check
	$(BIN)/python -m pytest -n 2 --dist loadfile --nbval notebooks/*.ipynb notebooks/solutions \
		--nbval-sanitize-with tests/nbval_sanitize.cfg

test-code: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 --dist loadfile

# -- working on the course

lab: $(INSTALLED)
	$(BIN)/jupyter lab notebooks

notebooks: $(INSTALLED)
	$(BIN)/python tools/notebooks.py run

exercises: $(INSTALLED)
	$(BIN)/python tools/notebooks.py exercises

bench: export OMP_WAIT_POLICY := ACTIVE
bench: $(INSTALLED)
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) _build build .cache .pytest_cache .ruff_cache .hypothesis yolov3_lib.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
	find . -name .ipynb_checkpoints -prune -exec rm -rf {} +
