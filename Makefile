# make demo   a fresh machine to served detections: installs, draws a sample set, prepares it, fine-tunes, exports, serves, asks
# make test   a fresh machine to a green suite: lint, format, types, tests; makes .venv, and .venv-beam for Apache Beam's
# make try    MODEL=ssd_mobilenet_v2_320x320_coco17_tpu-8 IMAGE=photo.jpg: a detector of the zoo, or a file of one, on a photograph
# make .venv  the virtual environment alone
# make gpu-check  on a machine with GPUs: trains both families in each precision, and compares with the CPU
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
# What pattern rules make on the way stays: a later step, or a person, may want it.
.SECONDARY:
.DEFAULT_GOAL := help

# The first of these that is a Python from 3.10 to 3.13; say `make PYTHON=/path/to/python3.11 ...` to choose.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.10; do \
    $$python -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
    && { echo $$python; break; }; done)
BIN := .venv/bin
IN_VENV := $(BIN)/python -m

.PHONY: help demo try test lint benchmark gpu-check .venv clean

help:
	@sed -n 's/^# //p' Makefile | head -5

# ---------------------------------------------------------------------------------------------------- installing

.venv: .venv/.installed

# The pip that Python 3.10 brings looks for versions that go together for longer than anybody waits: hence the newest.
.venv/.installed: requirements.txt
	@[ -n "$(PYTHON)" ] || { echo "error: Python 3.10, 3.11, 3.12 or 3.13 is needed; give one with make PYTHON=..." >&2; exit 2; }
	@echo "installing into .venv with $$($(PYTHON) --version); a few minutes, and about 3 GB"
	$(PYTHON) -m venv .venv
	$(IN_VENV) pip install --quiet --disable-pip-version-check --upgrade pip
	$(IN_VENV) pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.txt requirements-app.txt requirements-tracking.txt
	$(IN_VENV) pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

# ------------------------------------------------------------------------------------------------------- testing

SITE_PACKAGES := 'import sysconfig; print(sysconfig.get_path("purelib"))'

# Beam pins older protobuf, Pillow and pyarrow than the newest: .venv-beam holds Beam and what it has otherwise than .venv,
# and sees all else in .venv, which stays as it is. pip is .venv's, and finds versions that go with all requirements.
.venv-beam/.installed: .venv/.installed-dev requirements-beam.txt
	@echo "installing Apache Beam into .venv-beam; half a minute, and about 350 MB"
	$(IN_VENV) venv --clear --without-pip .venv-beam
	$(BIN)/python -c $(SITE_PACKAGES) > "$$(.venv-beam/bin/python -c $(SITE_PACKAGES))/venv.pth"
	.venv-beam/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt -r requirements-beam.txt
	touch $@

# The Object Detection API's package as mere files: the schema is compared with the one that it holds.
build/object_detection_api/.installed: | .venv/.installed-dev
	rm -rf $(@D)
	$(IN_VENV) pip install --quiet --disable-pip-version-check --no-deps --target $(@D) \
	    tf-models-research-object-detection==2.8.0.post1
	touch $@

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Two runs, of which the second goes on where the first fails: the test files that name Beam's package in .venv-beam, and
# all others in .venv. The browser pages take a Chromium that is there; what is skipped is listed at the end.
PYTEST := pytest -n 2 --dist loadfile --no-loadscope-reorder
BEAM_TESTS = $(shell grep -rl --include='test_*.py' apache_beam tests)

test: lint .venv-beam/.installed build/object_detection_api/.installed
	@failed=0; \
	echo "== tests of the Beam pipelines, in .venv-beam"; \
	.venv-beam/bin/python -m $(PYTEST) $(BEAM_TESTS) || failed=1; \
	echo "== all other tests, in .venv"; \
	OBJECT_DETECTION_API_PATH=$(CURDIR)/build/object_detection_api \
	    $(IN_VENV) $(PYTEST) $(BEAM_TESTS:%=--ignore=%) || failed=1; \
	[ $$failed = 0 ] || { echo "error: tests failed; of both runs, see above" >&2; exit 1; }

# To be run on a machine that does nothing else; each prints its ratio, and ends with 1 where a bound is missed.
BENCHMARKS := client_start choose_subset read_metadata download clean_images write_records train_step evaluation \
    evaluation_page metrics serving_graph nms predict_folder

benchmark: .venv/.installed-dev
	@failed=0; for benchmark in $(BENCHMARKS); do \
	    echo "== $$benchmark"; $(IN_VENV) tests.benchmarks.$$benchmark || failed=1; done; exit $$failed

# Installs nothing: takes .venv where it is, or else the Python at hand.
gpu-check:
	@python=$(BIN)/python; [ -x $$python ] || python=python3; \
	$$python -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("tensorflow") is None)' \
	    || { echo "error: TensorFlow is not installed; make .venv installs what is needed" >&2; exit 2; }; \
	$$python -m train.check_gpu

# ---------------------------------------------------------------------------------------------------------- demo
# Each step's result is a file, so that a second run reuses what is there, and one that was stopped goes on.

DEMO := build/demo
SAMPLE := $(DEMO)/sample_rooms
RECIPE := configs/ssd_efficientnet-lite0_fpn_320.config
PORT := 8500
ROOM := 15

demo: $(DEMO)/detections.txt
	@echo
	@cat $(DEMO)/detections.txt
	@echo
	@echo "image:       $(DEMO)/detections/$$(ls $(DEMO)/detections | head -1)"
	@echo "metrics:     $(DEMO)/model/eval/metrics.json"
	@echo "TensorBoard: $(BIN)/tensorboard --logdir $(DEMO)/model"
	@echo "serve it:    $(IN_VENV) serving.serve --model_name rooms --model_base_path $(DEMO)/serving_models"

$(SAMPLE)/sample_set.json: | .venv/.installed
	@echo "== a sample set: furnished rooms, annotated as Open Images is"
	$(IN_VENV) data_prep.make_sample_set --output_directory $(SAMPLE)

$(DEMO)/label_map.pbtxt: $(SAMPLE)/sample_set.json
	@echo "== label map"
	$(IN_VENV) data_prep.make_label_map --trainable_classes_path $(SAMPLE)/trainable-classes.txt \
	    --class_description_path $(SAMPLE)/class-descriptions-boxable.csv --label_map_path $@

$(DEMO)/%.points.json: $(SAMPLE)/sample_set.json
	@echo "== $*: from CSVs to points"
	$(IN_VENV) data_prep.process_metadata --annotations_input_path $(SAMPLE)/$*-annotations-bbox.csv \
	    --image_index_input_path $(SAMPLE)/$*-images.csv --trainable_classes_path $(SAMPLE)/trainable-classes.txt \
	    --class_description_path $(SAMPLE)/class-descriptions-boxable.csv \
	    --point_output_path $@ --image_index_output_path $(DEMO)/$*.images.json

$(DEMO)/%.clean.json: $(DEMO)/%.points.json
	@echo "== $*: images verified and resized"
	$(IN_VENV) data_prep.validate_images --image_directory $(SAMPLE)/images/$* --image_saving_directory $(DEMO)/images/$* \
	    --max_dimension 640 --datapoints_input_path $< --datapoints_output_path $@

$(DEMO)/%.verified: $(DEMO)/%.clean.json $(DEMO)/label_map.pbtxt
	@echo "== $*: records"
	$(IN_VENV) data_prep.make_tfrecords --datapoints_input_path $< --image_directory $(DEMO)/images/$* \
	    --label_map_path $(DEMO)/label_map.pbtxt --record_output_path $(DEMO)/$*.record --num_shards 4
	$(IN_VENV) data_prep.verify_tfrecords --input_path '$(DEMO)/$*.record-?????-of-00004' \
	    --label_map_path $(DEMO)/label_map.pbtxt
	touch $@

$(DEMO)/pipeline.config: $(RECIPE) $(DEMO)/label_map.pbtxt
	sed -e 's#PATH_TO_BE_CONFIGURED#$(DEMO)#' \
	    -e "s#num_classes: [0-9]*#num_classes: $$(grep -c '^item' $(DEMO)/label_map.pbtxt)#" $(RECIPE) > $@

$(DEMO)/trained: $(DEMO)/pipeline.config $(DEMO)/train.verified $(DEMO)/validation.verified
	@echo "== fine-tuning from ImageNet weights; stop it and run make demo again: it goes on"
	$(IN_VENV) train.train --pipeline_config_path $< --model_dir $(DEMO)/model --seed 0
	touch $@

$(DEMO)/exported/saved_model/saved_model.pb: $(DEMO)/trained
	@echo "== export"
	rm -rf $(DEMO)/exported
	$(IN_VENV) export.export_saved_model --pipeline_config_path $(DEMO)/pipeline.config \
	    --trained_checkpoint_dir $(DEMO)/model --output_directory $(DEMO)/exported \
	    --model_base_path $(DEMO)/serving_models

# A server for as long as the question takes, on a port of its own.
$(DEMO)/detections.txt: $(DEMO)/exported/saved_model/saved_model.pb
	@echo "== serve on port $(PORT), and ask over gRPC about a room that was held out"
	@rm -rf $(DEMO)/detections; \
	$(IN_VENV) serving.serve --model_name rooms --model_base_path $(DEMO)/serving_models --port $(PORT) \
	    --rest_api_port 0 > $(DEMO)/server.log 2>&1 & server=$$!; \
	trap 'kill $$server 2>/dev/null; wait $$server 2>/dev/null || true' EXIT; \
	$(IN_VENV) serving.client --server localhost:$(PORT) --model_name rooms --label_map_path $(DEMO)/label_map.pbtxt \
	    --max_retries 30 --output_directory $(DEMO)/detections $$(ls $(DEMO)/images/validation/*.jpg | sed -n $(ROOM)p) \
	    > $@ || { cat $(DEMO)/server.log >&2; exit 1; }

# ----------------------------------------------------------------------------------------------------------- try
# A detector's name in the TensorFlow 2 Detection Zoo, or a file of one, to its detections on a photograph.

try: | .venv/.installed
	@[ -n "$(MODEL)" ] && [ -n "$(IMAGE)" ] || { echo "error: make try MODEL=NAME_OR_PATH IMAGE=photo.jpg" >&2; exit 2; }
	@$(IN_VENV) serving.try_detector "$(MODEL)" $(IMAGE)

clean:
	rm -rf $(DEMO)
