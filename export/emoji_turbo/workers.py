"""One process a GPU, started by torchrun, or a single process anywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True, slots=True)
class Workers:
    """This process's place among the training processes."""

    rank: int
    count: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """True in the one process that writes files and reports."""
        return self.rank == 0

    def average(self, tensor: Tensor) -> None:
        """Replaces `tensor` by its mean over the processes, the same bits in each."""
        if self.count > 1:
            distributed.all_reduce(tensor)
            tensor /= self.count

    def agree(self, decision: bool) -> bool:
        """The leading process's decision, in every process."""
        if self.count == 1:
            return decision
        flag = torch.tensor([int(decision)], device=self.device)
        distributed.broadcast(flag, 0)
        return bool(flag.item())


@contextmanager
def joined_workers(device: str | None) -> Iterator[Workers]:
    """Joins the process group that torchrun's environment names; `device` None: CUDA where there is one."""
    count, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    place = torch.device(kind, local % torch.cuda.device_count()) if kind == "cuda" else torch.device(kind)
    if kind == "cuda":
        torch.cuda.set_device(place)
        torch.set_float32_matmul_precision("high")
    if count == 1:
        yield Workers(0, 1, place)
        return
    distributed.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        yield Workers(distributed.get_rank(), count, place)
    finally:
        distributed.destroy_process_group()
