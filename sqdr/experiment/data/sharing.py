"""Batches that processes share, so that all of them together train as one process would."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

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


class Place(NamedTuple):
    """Where an epoch goes on.

    Attributes:
        order: state of torch's random generator from which the order of the images was drawn.
        n_batches: number of batches that are done.
        now: state of the generator after them.
    """

    order: Tensor
    n_batches: int
    now: Tensor


class SharedBatches(BatchSampler):
    """This process's share of shuffled batches; a last one that is not full is left out.

    Args:
        dataset (sized): what to sample from.
        batch_size (int): of all processes together.
        share (Share): of this process.
        place (Place or None): where the first epoch goes on. Default: None, at its beginning.

    Attributes:
        order (Tensor): state of torch's random generator at the beginning of the epoch.
    """

    def __init__(
        self, dataset: Sized, batch_size: int, share: Share, place: Place | None = None
    ) -> None:
        super().__init__(RandomSampler(dataset), batch_size, drop_last=True)
        self.share = share
        self.order = torch.get_rng_state()
        self._place = place

    def __iter__(self) -> Iterator[list[int]]:
        place, self._place = self._place, None
        if place is not None:
            torch.set_rng_state(place.order)
        self.order = torch.get_rng_state()
        for number, batch in enumerate(super().__iter__()):
            if place is not None and number < place.n_batches:
                continue
            if place is not None and number == place.n_batches:
                torch.set_rng_state(place.now)
            yield self.share.of(batch)
