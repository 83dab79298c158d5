# `make demo` deblurs the pictures in demo/pictures; `make serve` opens a page to drop pictures on;
# `make train-demo` trains a small network and shows what it has learnt; `make test` runs the tests
# in four minutes, all but those marked long; `make test-long` runs those.

PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13; do \
    $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
    && echo $$python && break; done)
SEED ?= 1

.PHONY: demo train-demo serve test test-long clean

demo: .venv/installed
	@echo "restoring the pictures of demo/pictures/blurred; look at demo/restored/report.html then"
	.venv/bin/python test.py --input_path demo/pictures/blurred --sharp_path demo/pictures/sharp \
	    --output_path demo/restored --report --overwrite

serve: .venv/installed_serve
	.venv/bin/srn-serve

train-demo: .venv/installed
	.venv/bin/python demo/train.py --seed $(SEED)

test: .venv/installed_dev
	.venv/bin/python -m pytest -m "not long"

test-long: .venv/installed_dev
	.venv/bin/python -m pytest -m long

# Installed again only when the requirements change: the package itself is used in place.
.venv/installed: setup.cfg pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; set PYTHON=/path/to/it"; exit 1; }
	@echo "installing srn_tf and TensorFlow into .venv: some minutes"
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/installed_serve: .venv/installed
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[serve]"
	touch $@

.venv/installed_dev: .venv/installed
	@echo "installing the tools of the tests into .venv"
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@

clean:
	rm -rf .venv
