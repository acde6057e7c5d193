# Two commands do everything: `make demo` and `make test`. See README.md.
SHELL := bash
.PHONY: help demo test bench gpu-check train train-smoke format clean

help:
	@echo 'make demo       play a clip through camera, detector and pose node; VIDEO=file RATE=hz'
	@echo 'make test       all checks and tests'
	@echo 'make bench      measure, and write docs/performance.md (twenty minutes)'
	@echo 'make gpu-check  prove and measure what is for NVIDIA GPUs, on one (seven minutes)'
	@echo 'make train      train the network that comes with the package (hours; goes on where it was)'
	@echo 'make format     format the code'
	@echo 'make clean      remove what the others made'

demo:
	@bash dev/prepare.bash
	@. dev/activate.bash && python -m vitpose_ros.demo.run \
	  $(if $(VIDEO),--video '$(VIDEO)') $(if $(RATE),--rate '$(RATE)')

test:
	@bash dev/prepare.bash test
	@bash dev/run_tests.bash

bench:
	@bash dev/prepare.bash bench
	@. dev/activate.bash && mkdir -p bench_output && results=bench_output/results.jsonl && \
	  { python -m vitpose_ros bench --compare transformers --models small,base --batches 1,4 \
	  --precisions float32,auto,int8 --ros --json $$results; failed=$$?; python dev/write_performance.py $$results && \
	  exit $$failed; }

# Without a virtual environment, ROS or network: whatever PyTorch the machine has is checked.
gpu-check:
	@PYTHONPATH="$(CURDIR):$(CURDIR)/dev$${PYTHONPATH:+:$$PYTHONPATH}" \
	  $${PYTHON:-python3} -m gpu_check

train:
	@bash dev/prepare.bash train
	@. dev/activate.bash && runs=training/runs && python -m training.train nano && \
	  python -m training.train nano-wide --weights $$runs/nano/network.safetensors 0 && \
	  python -m training.train nano-front --weights $$runs/nano-wide/network.safetensors 0 && \
	  python -m training.evaluate $$runs/nano-front/network.safetensors --sets coco,mpii,aic,wholebody && \
	  python -m training.train crowd --weights $$runs/nano-front/network.safetensors 0 && \
	  python -m training.train crowd-large --weights $$runs/crowd/network.safetensors 0 && \
	  python -m training.evaluate_crowds $$runs/crowd-large/network.safetensors

train-smoke:
	@bash dev/prepare.bash train
	@. dev/activate.bash && rm -rf training/runs/smoke && python -m training.smoke

format:
	@bash dev/prepare.bash test
	@. dev/activate.bash && ruff format . && ruff check --fix .

clean:
	rm -rf .venv build install log demo_output bench_output gpu_check_output
