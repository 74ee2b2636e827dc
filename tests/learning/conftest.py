"""Numerical tests run on one thread: the machine is shared, and the order of sums is fixed."""

import torch

torch.set_num_threads(1)
