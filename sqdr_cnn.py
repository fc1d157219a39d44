"""The published package's import name, so that code written for it runs on sqdr unchanged."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import sqdr
from sqdr.model import published_defaults

__all__ = ["SQDR_CNN"]


class SQDR_CNN(sqdr.SQDR_CNN):
    """`sqdr.SQDR_CNN` with the published defaults, those of `sqdr.SQDR_CNN.published`."""

    def __init__(
        self,
        T: int,
        in_channels: int,
        num_class: int,
        n_wires: int = 9,
        qdr_block: int = 2,
        init_mode: Literal["normal", "uniform"] = "normal",
        init_range: Sequence[float] = (0.0, 2 * math.pi),
        use_mlp: bool = True,
        **options: Any,
    ) -> None:
        sizes = T, in_channels, num_class, n_wires, qdr_block
        defaults = published_defaults(use_mlp)
        super().__init__(*sizes, init_mode, init_range, use_mlp, **defaults | options)
