"""What has to be so before anything is imported."""

import os

import torch

if not torch.cuda.is_available():
    os.environ['TRITON_INTERPRET'] = '1'  # for test_kernels.py; nothing else uses Triton
