"""Ranks of torchrun: DDP over gloo on the CPU, over nccl on GPUs. Alone, every function here is trivial.

Plain integers and counts always travel over gloo, so that agreeing on a signal never waits for a GPU.

Batch norm has the same statistics on any number of ranks (models/batch_norm.py). What still depends on it: dropout
masks, and whatever a method does with the images of one rank (mixing, prototypes, means over valid pixels). So the
manifest says how many ranks there were.
"""

from __future__ import annotations

import atexit
import gc
import os
import warnings
from collections.abc import Iterable, Mapping

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


def rank() -> int:
    """This process among `world()`, from 0."""
    return int(os.environ.get("RANK", "0"))


def world() -> int:
    """How many processes torchrun started; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_device(device: str) -> torch.device:
    """The device of this rank: "cuda" means one GPU for each process of a machine."""
    if device == "cuda" and world() > 1:
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device(device)


def start() -> None:
    """Meet the other ranks, once."""
    if world() > 1 and not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        atexit.register(_leave)


def _leave() -> None:
    """End gloo's threads while Python still runs: one that drops its last tensor after that aborts the process."""
    if dist.is_initialized():
        dist.destroy_process_group()
        gc.collect()  # DDP wrappers are cycles, and hold the group


def wrap(module: nn.Module) -> nn.Module:
    """The module, with gradients averaged over ranks. Buffers stay apart: see `share_buffers`."""
    if world() == 1:
        return module
    device = next(module.parameters()).device
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # what replaces the argument is too new
        return DistributedDataParallel(module, [device] if device.type == "cuda" else None, broadcast_buffers=False)


def share_buffers(module: nn.Module) -> None:
    """Give all ranks the batch statistics of rank 0, the ones that are saved."""
    if world() > 1:
        for buffer in module.buffers():
            dist.broadcast(buffer, src=0)


def largest(value: int) -> int:
    """The largest value of any rank: how ranks agree to stop."""
    return int(_reduced(torch.tensor(value), dist.ReduceOp.MAX)) if world() > 1 else value


def smallest(values: Iterable[float]) -> list[float]:
    """Elementwise minimum over ranks."""
    tensor = torch.tensor(list(values), dtype=torch.float64)
    return list((_reduced(tensor, dist.ReduceOp.MIN) if world() > 1 else tensor).tolist())


def mean(values: Iterable[float]) -> list[float]:
    """Elementwise mean over ranks."""
    tensor = torch.tensor(list(values), dtype=torch.float64)
    return list((_reduced(tensor, dist.ReduceOp.SUM) / world() if world() > 1 else tensor).tolist())


def summed(counts: Mapping[str, NDArray[np.int64]]) -> dict[str, NDArray[np.int64]]:
    """Counts of all ranks together, exactly."""
    if world() == 1:
        return dict(counts)
    return {k: _reduced(torch.from_numpy(counts[k].copy()), dist.ReduceOp.SUM).numpy() for k in sorted(counts)}


def _reduced(tensor: Tensor, op: dist.ReduceOp.RedOpType) -> Tensor:
    dist.all_reduce(tensor, op)
    return tensor
