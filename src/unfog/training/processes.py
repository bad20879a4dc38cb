"""Training on several processes that ``torchrun`` starts: each takes its share of every batch, and
the gradients are averaged.

    torchrun --nproc-per-node 2 -m unfog train ddpm --data fashion-mnist --out runs/fashion

Order, noise and times are functions of (seed, step, sample), so the shares add up to the batch of
one process, and weights differ from its by rounding alone. (Dropout draws by position in the
share, so with it they are another run.) The first process writes everything.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from unfog.core.registry import Registry
from unfog.errors import InputError
from unfog.training.guard import Interrupted
from unfog.training.order import Share

T = TypeVar("T")
AUTO = "auto"
LIMIT = timedelta(seconds=60)  # after which a process that does not answer counts as gone
STATE = 16  # bytes of a weight, its gradient and AdamW's two moments in float32
ROOM = 0.5  # of a device's memory that these may take where every process holds them all
GONE = re.compile("gloo|nccl|connection|timed out", re.IGNORECASE)  # in errors of connections
LOST = (
    "Another process of this training ended or did not answer for a minute; the run goes on from "
    "its newest checkpoint with --resume, on any number of processes."
)
TURNS = (
    "What is trained in turns, as a GAN's two networks are, trains on one process; start it "
    "without torchrun."
)

wrappers: Registry[nn.Module] = Registry("way of training on several processes")


class Objective(nn.Module):
    """A model's loss as one module, whose forward pass is all that a gradient comes from.

    Args:
        model: What is trained.
        objective: (model, batch, samples, seed, step) -> losses (batch,).
    """

    def __init__(self, model: nn.Module, objective: Any) -> None:
        super().__init__()
        self.model, self.objective = model, objective
        self.head = getattr(objective, "head", None)  # learns as well

    def forward(
        self, batch: Mapping[str, Tensor], samples: Sequence[int], seed: int, step: int
    ) -> Any:
        """Losses (batch,), or an iterator of one such tensor a turn."""
        return self.objective(self.model, batch, samples, seed, step)


@wrappers.register("ddp")
def ddp(loss: Objective) -> nn.Module:
    """Every process holds the whole model (Li et al. 2020, "PyTorch Distributed")."""
    return nn.parallel.DistributedDataParallel(loss, static_graph=True)


@wrappers.register("fsdp")
def fsdp(loss: Objective) -> nn.Module:
    """Every process holds its part of each weight, gradient and moment, and gathers a block's
    weights while it is computed (FSDP2; Zhao et al. 2023).
    """
    from torch.distributed.fsdp import fully_shard

    # A block is whole while it is computed; the rest belongs to the loss.
    for block in blocks_of(loss.model):
        fully_shard(block)
    fully_shard(loss)
    return loss


def blocks_of(module: nn.Module) -> Iterator[nn.Module]:
    """The modules with weights to learn that are called by themselves, in lists and other holders
    that are not, such as the levels of a U-Net.
    """
    for child in module.children():
        if not _is_called(child):
            yield from blocks_of(child)
        elif not _is_called(module):
            if any(p.requires_grad for p in child.parameters()):
                yield child
        else:
            yield from blocks_of(child)


def _is_called(module: nn.Module) -> bool:
    return type(module).forward is not nn.Module.forward


@dataclass(frozen=True)
class Processes:
    """The processes of a training run, of which this is number ``rank`` of ``count``."""

    rank: int = 0
    count: int = 1

    @classmethod
    def of_environment(cls) -> Processes:
        """As torchrun told this process, or one alone."""
        return cls(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def device(self) -> torch.device:
        """Where this process trains: on the GPU of its own number on this machine, if any."""
        if not torch.cuda.is_available():
            return torch.device("cpu")
        if self.count == 1:
            return torch.device("cuda")
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(place)
        return place

    def check_batch(self, batch: int) -> None:
        """``InputError`` where a batch does not divide among the processes."""
        if batch % self.count:
            low = batch // self.count * self.count
            nearest = low if low and batch - low <= low + self.count - batch else low + self.count
            raise InputError(
                f"A batch of {batch} does not divide among {self.count} processes; the nearest "
                f"that does is {nearest}: --set training.batch={nearest}."
            )

    def check_turns(self, objective: Any) -> None:
        """``InputError`` where several processes would train an objective of several turns."""
        if self.count > 1 and inspect.isgeneratorfunction(type(objective).__call__):
            raise InputError(TURNS)

    def share(self, samples: Sequence[int]) -> Share:
        """This process's part of a batch's samples, which divide among the processes."""
        return Share(samples, self.rank, self.count)

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a number over the processes."""
        if self.count > 1:
            torch.distributed.all_reduce(value)
            value /= self.count
        return value

    def agreed(self, code: int | None) -> int | None:
        """A signal's code that any process was sent, so that all stop after the same step."""
        if self.count == 1:
            return code
        found = torch.tensor(code or 0)
        if torch.distributed.get_backend() == "nccl":
            found = found.cuda()
        torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
        return int(found) or None

    def one_turn(self, losses: Any) -> Any:
        """The losses, which are one tensor where several processes train."""
        if self.count > 1 and not isinstance(losses, Tensor):
            raise InputError(TURNS)
        return losses

    def only_first(self, training: Callable[[], T]) -> T:
        """What training returns, on the first process; the others end when all have."""
        try:
            result = training()
        except Interrupted as stop:
            if self.first:
                raise
            raise SystemExit(stop.code) from stop
        self.wait()
        if not self.first:
            raise SystemExit(0)
        return result

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.count > 1:
            torch.distributed.barrier()

    def wrapped(self, loss: Objective, kind: str, device: torch.device) -> nn.Module:
        """The loss with gradients averaged over the processes, in a way of ``wrappers``; "auto"
        shards what does not fit a GPU twice.
        """
        if kind != AUTO:
            wrappers.get(kind)
        if self.count == 1:
            return loss
        if kind == AUTO:
            need = STATE * sum(p.numel() for p in loss.parameters())
            fits = device.type != "cuda" or need < ROOM * torch.cuda.mem_get_info(device)[1]
            kind = "ddp" if fits else "fsdp"
        return wrappers.get(kind)(loss)

    @contextmanager
    def connected(self, device: torch.device) -> Iterator[None]:
        """Open the connections between the processes, and close them; ``InputError`` where one is
        lost.
        """
        if self.count == 1:
            yield
            return
        backend = "nccl" if device.type == "cuda" else "gloo"
        torch.distributed.init_process_group(backend, timeout=LIMIT)
        try:
            yield
        except RuntimeError as error:
            if not (isinstance(error, torch.distributed.DistError) or GONE.search(str(error))):
                raise
            raise InputError(LOST) from error
        finally:
            torch.distributed.destroy_process_group()


ALONE = Processes()


def whole(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors with the parts of all processes gathered; every process must ask."""
    return {name: _whole(value) for name, value in state.items()}


def _whole(value: Tensor) -> Tensor:
    gathered: Tensor = value.full_tensor() if _is_sharded(value) else value  # type: ignore[attr-defined]
    return gathered


def part(value: Tensor, like: Tensor) -> Tensor:
    """This process's part of a whole tensor, sharded as another is."""
    if not _is_sharded(like):
        return value
    from torch.distributed.tensor import distribute_tensor

    sharded: Any = like
    return distribute_tensor(value.to(like.device), sharded.device_mesh, sharded.placements)


def _is_sharded(value: Tensor) -> bool:
    # Only where several processes run is the module of sharded tensors there.
    tensors = sys.modules.get("torch.distributed.tensor")
    return tensors is not None and isinstance(value, tensors.DTensor)


def norm_of(value: Tensor) -> Tensor:
    """A gradient's norm, gathered."""
    return _whole(value).double()


def torchrun_line(count: int, arguments: Sequence[str]) -> str:
    """The command that trains on so many processes of this machine."""
    return " ".join(["torchrun", "--nproc-per-node", str(count), "-m", "unfog", *arguments])
