"""What several processes of one run need to know of each other."""

from __future__ import annotations

import os
from typing import TypeVar

import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def rank_and_world() -> tuple[int, int]:
    """This process's rank and the number of processes."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else (0, 1)


def is_first() -> bool:
    """Whether this process is the one that writes files and prints; true before processes have found each other only in the first."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank() == 0
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))


def gather(value: T) -> list[T]:
    """The value of every process, in the order of ranks, on all of them."""
    world = rank_and_world()[1]
    if world == 1:
        return [value]
    values: list[T] = [value] * world
    dist.all_gather_object(values, value)
    return values


def sum_over_processes(values: Tensor) -> Tensor:
    """The sum of a tensor over all processes, on each of them."""
    if rank_and_world()[1] > 1:
        values = values.clone()
        dist.all_reduce(values)
    return values


def wait_for_all() -> None:
    """Go on once every process is here, so that what rank 0 wrote can be read."""
    if rank_and_world()[1] > 1:
        dist.barrier()
