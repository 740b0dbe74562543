# Two commands for a fresh machine with Python >= 3.10 and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := settings.ini setup.py pyproject.toml
DIR ?= clip_autt_tutorials
FILMS ?= ../shared/data/video
ACTORS ?= build/real/pyfame
PAGES := bench scale results personal-settings family beyond departures agreement detector films action-units real-people real-faces reliability
TESTS ?= -n logical --maxprocesses 4 -p no:terminaldistreporter -q --calm --disable-warnings -o console_output_style=classic

# Google Colab's environment, which `make colab` builds
COLAB := build/colab-venv
PYTHON313 ?= python3.13

.PHONY: help demo test colab lab animation site bench assets results personal-settings family beyond departures agreement scale real-people detector films action-units real-faces reliability pages outputs readme clean

help:
	@echo "make demo     install, then personalize to ten rendered people and write demo/report.html (minutes the first time)"
	@echo "make test     install with the developer's tools, then run everything that must pass (30 to 45 minutes on two cores)"
	@echo "make colab    run the course in the environment of Google Colab (6 GB and ten minutes; TUTORIALS=\"01 11\": some; PYTHON313=path)"
	@echo "make lab      install JupyterLab, copy the tutorials to a folder and open them (DIR=my_course: another folder; LAB=--allow-root: options)"
	@echo "make site     build the documentation site into build/site, offline (a minute)"
	@echo "make bench    measure speed and memory, write docs/benchmarks.md (a quarter of an hour)"
	@echo "make assets   train facs-tiny and its heads from scratch (about two hours on two cores)"
	@echo "make results  measure the embedded benchmark, write docs/results.md (about an hour)"
	@echo "make personal-settings  compare the settings of the personal baseline, write docs/personal_settings.md (half an hour)"
	@echo "make family   compare the methods that are told more than videos, write docs/family.md (three quarters of an hour)"
	@echo "make beyond   measure fusion, privileged teachers, words, AU maps, BAH and ABAW, write docs/beyond.md (three quarters of an hour)"
	@echo "make departures, agreement   what the released code's departures do; whether AU scores follow muscles"
	@echo "make real-people   measure the personal baseline on StressID's action units, write docs/real_people.md (a quarter of an hour)"
	@echo "make scale    measure what an hour of video costs and what grows with a study, write docs/scale.md (a quarter of an hour)"
	@echo "make detector, films, action-units, real-faces   whose face is found; which films are read; which action units to trust (FILMS=folder ACTORS=folder)"
	@echo "make reliability  run the tests of what goes wrong, each by itself, write docs/reliability.md (eight minutes)"
	@echo "make pages    make every page of figures anew, one after the other, and say how long each took (about five hours on two cores; an interrupted run goes on)"
	@echo "make outputs  run all notebooks, save their outputs, write README.md"
	@echo "make animation  make the moving picture at the top of the README"
	@echo "make clean    remove the environment and everything that was built"

# $(call pip,WHAT): pip without questions, bars and warnings of build tools; all it says is shown where it fails
pip = @$(BIN)/python -m pip install -q --disable-pip-version-check --no-input --no-warn-script-location --progress-bar off \
	$(1) >$(VENV)/pip.log 2>&1 || { cat $(VENV)/pip.log; exit 1; }

# The folder is put on the path, so that it is found beside a clone that is called clip_autt, too.
EDITABLE := --config-settings editable_mode=compat -e

$(BIN)/python:
	@echo "== creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "clip_autt needs Python 3.10 or newer: make PYTHON=python3.12")'
	@$(PYTHON) -m venv $(VENV)
	$(call pip,--upgrade pip)

$(VENV)/.installed: $(BIN)/python $(SOURCES)
	@echo "== installing clip_autt and what it needs (PyTorch is large: a few minutes the first time)"
	$(call pip,$(EDITABLE) .)
	@touch $@

$(VENV)/.installed-dev: $(BIN)/python $(SOURCES)
	@echo "== installing clip_autt with the developer's tools (PyTorch is large: a few minutes the first time)"
	$(call pip,$(EDITABLE) '.[dev]')
	@touch $@ $(VENV)/.installed $(VENV)/.installed-lab

$(VENV)/.installed-lab: $(BIN)/python $(SOURCES)
	@echo "== installing clip_autt with JupyterLab (PyTorch is large: a few minutes the first time)"
	$(call pip,$(EDITABLE) '.[lab]')
	@touch $@ $(VENV)/.installed

demo: $(VENV)/.installed
	@echo "== personalizing to ten rendered people (half a minute)"
	@$(BIN)/clip-autt demo

test: $(VENV)/.installed-dev
	@echo "== style"
	@$(BIN)/ruff check -q .
	@echo "== notebooks, tutorials with their solutions, and tests (30 to 45 minutes on two cores)"
	@IPYTHONDIR=$$(mktemp -d) PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest $(TESTS)

$(COLAB)/.installed: VENV := $(COLAB)
$(COLAB)/.installed: BIN := $(COLAB)/bin
$(COLAB)/.installed: tools/colab_requirements.txt
	@$(PYTHON313) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null || \
		{ echo "make colab needs Python 3.13, as Colab has it; name it: make colab PYTHON313=path/to/python3.13"; exit 1; }
	@echo "== building Colab's environment in $(COLAB) (6 GB, a few minutes)"
	@rm -rf $(COLAB) && $(PYTHON313) -m venv $(COLAB)
	$(call pip,-r $<)
	@touch $@

colab: $(COLAB)/.installed
	@echo "== running tutorials in Colab's environment, their first cells included (the whole course: about ten minutes)"
	@$(COLAB)/bin/python tools/colab_course.py $(TUTORIALS)

lab: $(VENV)/.installed-lab
	@$(BIN)/clip-autt lab $(DIR) -- $(LAB)

animation: $(VENV)/.installed-dev
	@$(BIN)/python -W ignore tools/animation.py

site: $(VENV)/.installed-dev
	@echo "== building the documentation into build/site"
	@$(BIN)/python tools/docs_site.py

bench: $(VENV)/.installed-dev
	@echo "== measuring speed and memory"
	@$(BIN)/python -W ignore -m pytest tests/bench -o python_files='bench_*.py' -o addopts= -q --benchmark-json=.benchmarks.json
	@$(BIN)/python tools/bench_table.py .benchmarks.json

assets: $(VENV)/.installed-dev
	@echo "== rendering an album (12 minutes), training facs-tiny (an hour) and its heads (20 minutes); an interrupted run goes on where it stopped"
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/python tools/build_assets.py

results: $(VENV)/.installed-dev
	@echo "== measuring the embedded benchmark (about an hour)"
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/python tools/results.py

real-people: $(VENV)/.installed-dev
	@echo "== measuring the personal baseline on action units of real people (a quarter of an hour; skipped without the table)"
	@OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 $(BIN)/python -W ignore tools/real_people.py $(REAL)

personal-settings: $(VENV)/.installed-dev
	@echo "== measuring the settings of the personal baseline (half an hour, most of it filming); an interrupted run goes on"
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/python -W ignore tools/personal_settings.py

family: $(VENV)/.installed-dev
	@echo "== measuring the methods that are told more than videos (three quarters of an hour; needs the features of make assets); an interrupted run goes on"
	@OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 $(BIN)/python -W ignore tools/family.py

beyond: $(VENV)/.installed-dev
	@echo "== measuring the systems that are no methods of test time (half an hour; needs the features of make assets); an interrupted run goes on"
	@OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 $(BIN)/python -W ignore tools/beyond.py

scale: $(VENV)/.installed-dev
	@echo "== measuring what an hour of video costs"
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/python -W ignore tools/scale.py

# the same last digits on all processors, as the tests expect them
outputs: export ATEN_CPU_CAPABILITY := avx2
outputs: $(VENV)/.installed-dev
	@$(BIN)/nbdev-export && $(BIN)/nbdev-test --skip-folder-re '^[_.]|^tutorials$$' --save
	@$(BIN)/python tools/tutorials.py --save
	@$(BIN)/nbdev-clean
	@$(BIN)/python tools/readme.py

departures: $(VENV)/.installed-dev
	@echo "== measuring what each departure of the released code does (about an hour)"
	@OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 $(BIN)/python tools/departures.py

agreement: $(VENV)/.installed-dev
	@echo "== measuring whether action-unit scores follow the muscles (twenty minutes)"
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/python tools/agreement.py

detector: $(VENV)/.installed-dev
	@echo "== measuring whose face is found (some minutes)"
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/python -W ignore tools/detector_page.py $(wildcard $(FILMS))

films: $(VENV)/.installed-dev
	@echo "== reading films of many kinds (some minutes)"
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/python -W ignore tools/films_page.py

action-units: $(VENV)/.installed-dev
	@echo "== measuring the reader of action units (needs the features of make assets, real films and clips of actors; some minutes)"
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/python -W ignore tools/action_units_page.py $(FILMS) $(ACTORS)

real-faces: $(VENV)/.installed-dev
	@echo "== measuring the scores of real faces (needs real films and clips of actors, see tools/real_faces.py; a quarter of an hour)"
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/python -W ignore tools/real_faces_page.py $(FILMS) $(ACTORS)

reliability: $(VENV)/.installed-dev
	@echo "== running the tests of what goes wrong, each by itself (some minutes)"
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tools/reliability.py

# every page of figures; what needs films that are not here is named and left as it is
pages: $(VENV)/.installed-dev
	@for page in $(PAGES); do \
		case $$page in action-units|real-faces) [ -d $(FILMS) ] && [ -d $(ACTORS) ] || { echo "== $$page: left as it is, no $(FILMS) or $(ACTORS)"; continue; };; esac; \
		began=$$(date +%s); $(MAKE) --no-print-directory $$page > /dev/null || exit 1; \
		echo "== $$page: $$(( ($$(date +%s) - began) / 60 )) minutes"; \
	done

readme: $(VENV)/.installed-dev
	@$(BIN)/python tools/readme.py

clean:
	rm -rf $(VENV) build dist demo .benchmarks.json .pytest_cache .hypothesis .ruff_cache *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
