# The course in two commands: `make lab` opens it, `make test` checks it. Both, and `make app`, set up .venv first.
VENV ?= .venv
PYTHON ?=
TORCH ?= 2.13.0
# held back for the sake of Python 3.11.0 to 3.11.4 (Debian 12)
HOLD = 'soupsieve<3'
BIN = $(VENV)/bin
STAGES = lint unit bad_input notebooks browser

.PHONY: venv lab app test $(STAGES) bench assignment slides book lock clean

# pinned packages and this package, editable
venv: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	@tools/make_venv.sh "$(VENV)" "$(PYTHON)"

# JupyterLab on notebooks/00_start_here.ipynb
lab: venv
	@$(BIN)/python -m ponita_edu.lab

# the explorers as a site for a class: make app, or make app OPTIONS="--ip 0.0.0.0 --visitors 30"
app: venv
	@$(BIN)/python -m ponita_edu.app $(OPTIONS)

# every stage in turn, up to the first failure
test: venv
	@tools/run_tests.sh "$(VENV)" $(STAGES)

# one stage alone
$(STAGES): venv
	@tools/run_tests.sh "$(VENV)" $@

# speed and memory
bench: venv
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest benchmarks -o python_files='bench_*.py' --benchmark-only
	@$(BIN)/python benchmarks/bench_networks.py --out results/speed_2_cores.json
	@$(BIN)/python benchmarks/bench_scale.py --networks small --out results/scale.json
	@$(BIN)/python benchmarks/bench_scale.py --networks paper --out results/scale_paper.json

# the exercises for a class: nbgrader's source and release versions in build/class
assignment: venv
	@$(BIN)/python tools/make_assignment.py

# all figures of the course as slides: build/slides/index.html
slides: venv
	@$(BIN)/python tools/make_slides.py

# the course, the library's reference and the results as a site that needs no internet: build/book/index.html
book: venv
	@$(BIN)/python tools/book.py

# new pins, from a fresh environment with the newest versions that pyproject.toml allows
lock:
	@rm -rf build/lock
	@tools/make_venv.sh build/lock "$(PYTHON)" torch==$(TORCH) $(HOLD) ".[course,chem,compare,cluster,class,dev]"
	@build/lock/bin/python tools/write_lock.py > build/requirements.lock
	@mv build/requirements.lock requirements.lock

# everything that the targets above made
clean:
	@rm -rf "$(VENV)" build dist ponita_edu.egg-info .pytest_cache .ruff_cache .benchmarks .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
