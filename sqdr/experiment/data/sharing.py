"""Batches that processes share, so that all of them together train as one process would."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, RandomSampler


@dataclass(frozen=True)
class Share:
    """What falls to one of the processes that share each batch: one image in every `n_processes`."""

    rank: int = 0
    n_processes: int = 1

    def of(self, batch: Any) -> Any:
        """The part of a sequence or a tensor that this process takes."""
        return batch[self.rank :: self.n_processes]

    def random(self, images: Tensor) -> Tensor:
        """A random number in [0, 1) for each of these images, on their device and of their dtype.

        All processes draw for the whole batch. So they stay in step, and an image has the number that
        it would have in one process.
        """
        n_images = len(images) * self.n_processes
        whole = torch.rand(n_images, dtype=images.dtype, device=images.device)
        return cast(Tensor, self.of(whole))


#: Of the only process.
WHOLE = Share()


class SharedBatches(BatchSampler):
    """This process's share of shuffled batches; a last one that is not full is left out.

    Args:
        dataset (sized): what to sample from.
        batch_size (int): of all processes together.
        share (Share): of this process.
    """

    def __init__(self, dataset: Sized, batch_size: int, share: Share) -> None:
        super().__init__(RandomSampler(dataset), batch_size, drop_last=True)
        self.share = share

    def __iter__(self) -> Iterator[list[int]]:
        for batch in super().__iter__():
            yield self.share.of(batch)
