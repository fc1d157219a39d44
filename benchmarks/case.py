"""What every engine is timed on: a circuit, a batch for it, and what an engine gives back."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

import sqdr

#: One forward and backward pass: <Z>, and the gradients of its sum by angles and weights.
Step = Callable[[], tuple[Any, Any, Any]]
Layer = Callable[[torch.Tensor], torch.Tensor]

BIT_FLIP, DEPOLARIZING, AMPLITUDE_DAMPING = 0.02, 0.03, 0.1
NOISE = sqdr.NoiseModel(
    (
        sqdr.BitFlip(BIT_FLIP),
        sqdr.Depolarizing(DEPOLARIZING),
        sqdr.AmplitudeDamping(AMPLITUDE_DAMPING),
    )
)


class CannotError(Exception):
    """An engine cannot do a case; the message says why and stands in the tables."""


@dataclass(frozen=True)
class Case:
    """A circuit and a batch for it, the same numbers for every engine.

    Args:
        n_wires, n_blocks, batch: sizes.
        noisy: whether the three channels of `NOISE` follow the rotations.
        dtype: "float32" or "float64".
        entanglement: "linear" or "circular".
        device: "cpu" or "cuda".
    """

    n_wires: int
    n_blocks: int
    batch: int
    noisy: bool
    dtype: str = "float32"
    entanglement: str = "linear"
    device: str = "cpu"

    def __str__(self) -> str:
        words = [f"n={self.n_wires}", f"L={self.n_blocks}", f"batch={self.batch}"]
        words.append("noisy" if self.noisy else "noiseless")
        words += [self.dtype] * (self.dtype != "float32")
        words += ["ring"] * (self.entanglement == "circular")
        words += [self.device] * (self.device != "cpu")
        return " ".join(words)

    @property
    def id(self) -> str:
        return str(self).replace("=", "").replace(" ", "-")

    @property
    def precisely(self) -> "Case":
        """The same numbers in double precision, on the CPU."""
        return replace(self, dtype="float64", device="cpu")

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The pairs of wires that a CZ layer acts on."""
        return list(sqdr.ansatz.entangled_pairs(self.entanglement, self.n_wires))

    @cached_property
    def angles(self) -> np.ndarray:
        """Of shape (batch, 3 * n_wires)."""
        return self._draw(0, (self.batch, 3 * self.n_wires))

    @cached_property
    def weights(self) -> np.ndarray:
        """Of shape (n_blocks, n_wires, 3)."""
        return self._draw(1, (self.n_blocks, self.n_wires, 3))

    def tensor(self, array: np.ndarray) -> torch.Tensor:
        """A leaf that is differentiated, on the device."""
        return torch.from_numpy(array).to(self.device).requires_grad_()

    def _draw(self, seed: int, shape: tuple[int, ...]) -> np.ndarray:
        drawn = np.random.default_rng(seed).uniform(0, 2 * np.pi, shape)
        return drawn.astype(np.float32).astype(self.dtype)


def torch_step(case: Case, layer: Layer, weights: torch.Tensor) -> Step:
    """A step of a PyTorch engine, which waits for the device.

    Args:
        layer: angles (batch, 3 * n_wires) -> <Z> (batch, n_wires).
        weights: a leaf that `layer` uses.
    """
    angles = case.tensor(case.angles)

    def step() -> tuple[torch.Tensor, ...]:
        angles.grad = weights.grad = None
        values = layer(angles)
        values.sum().backward()
        if case.device == "cuda":
            torch.cuda.synchronize()
        return values, angles.grad, weights.grad

    return step


def z_of_probabilities(probabilities: torch.Tensor) -> torch.Tensor:
    """<Z> (batch, n_wires) of probabilities (batch, 2 ** n_wires), wire 0 the highest bit."""
    batch, n_wires = len(probabilities), probabilities.shape[1].bit_length() - 1
    by_wire = probabilities.reshape(batch, *[2] * n_wires)
    marginals = [by_wire.movedim(1 + wire, 1).flatten(2).sum(2) for wire in range(n_wires)]
    return torch.stack([marginal[:, 0] - marginal[:, 1] for marginal in marginals], dim=1)
