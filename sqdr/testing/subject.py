"""The backend under test, and how what it computes is compared."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from sqdr.circuit import Backend, Capability, ReuploadCircuit
from sqdr.noise import BitFlip, NoiseModel
from sqdr.registry import create_circuit, load_backend
from sqdr.testing.cases import COHERENT, Case

#: Largest error of <Z> by the dtype that it is computed in; gradients may be off by four times as much.
TOLERANCES = {torch.float32: 2e-5, torch.float64: 1e-9}


class Subject:
    """A backend under test.

    Args:
        backend (str or class): its name, or its class.
        options (mapping): arguments of its class, beyond those of `ReuploadCircuit`.

    Attributes:
        name (str): of the backend, or of its class.
        dtype (torch.dtype): the most precise one that the backend declares.
    """

    def __init__(self, backend: Backend, options: Mapping[str, Any]) -> None:
        self.backend = backend
        self.options = options
        self._class = load_backend(backend)
        self.name = backend if isinstance(backend, str) else backend.__name__
        self._capabilities = self._class.capabilities
        self.dtype = torch.float64 if self.can("float64") else torch.float32
        noise = NoiseModel((BitFlip(0.1),))
        if options and self.can("noise") and self.refuses(noise=noise) and not self.refuses():
            self._capabilities -= {"noise"}

    def can(self, capability: Capability) -> bool:
        return capability in self._capabilities

    def refuses(self, **options: Any) -> bool:
        """Whether it cannot make a circuit with these options and its own."""
        try:
            create_circuit(self.backend, 3, 2, **{"dtype": self.dtype, **self.options, **options})
        except Exception:  # a simulator refuses options in its own words
            return True
        return False

    @property
    def is_named(self) -> bool:
        """Whether the class is found by its name, as pickle looks for it."""
        module: Any = sys.modules.get(self._class.__module__)
        names = self._class.__qualname__.split(".")
        return reduce(lambda found, name: getattr(found, name, None), names, module) is self._class

    @property
    def is_importable(self) -> bool:
        """Whether another process finds it, too."""
        return self.is_named and self._class.__module__ != "__main__"

    @property
    def tolerance(self) -> float:
        return TOLERANCES[self.dtype]

    def circuit(self, case: Case, **options: Any) -> ReuploadCircuit:
        """The circuit of a case, with the weights that `Case.draw` gives it."""
        _, weights = case.draw()
        return case.circuit(self.backend, weights, **{"dtype": self.dtype, **self.options, **options})

    def member(self, n_blocks: int, entanglement: str, noisy: bool = True) -> Case:
        """The case of three wires that has all that the backend declares, or all but noise."""
        chosen: dict[Capability, dict[str, Any]] = {
            "axes": {"encoding": "YX", "rotation": "XZYX"},
            "inputs": {"inputs": "split", "scaling": True},
            "couplings": {"entangler": "ZZ"},
            "observables": {"observables": ("Y0", "X1 Z2", "X0 Y1 X2", "Z1")},
        }
        if noisy and self.can("noise"):
            chosen["noise"] = {
                "after_rotation": (("Kraus", COHERENT), ("AmplitudeDamping", (0.1, 0.2, 0.05))),
                "after_entangler": (("PhaseDamping", 0.1), ("AmplitudeDamping", 0.1)),
                "readout_error": (0.1, 0.02, 0.2),
            }
            chosen["device-noise"] = {
                "after_entangler": (
                    ("BitFlip", 0.05),
                    ("TwoWireDepolarizing", 0.1),
                    ("AmplitudeDamping", (0.1, 0.2, 0.05)),
                ),
                "readout_error": ((0.1, 0.02, 0.2), (0.03, 0.2, 0.05)),
            }
        options: dict[str, Any] = {}
        for capability, of_capability in chosen.items():
            if self.can(capability):
                options |= of_capability
        return Case(3, n_blocks, entanglement, **options)

    def angles(self, case: Case, batch: int = 4) -> Tensor:
        """Angles (batch, n_features) that `Case.draw` gives, in the most precise dtype."""
        return torch.as_tensor(case.draw(batch)[0], dtype=self.dtype)


def expect(is_so: bool, complaint: str) -> None:
    """AssertionError with `complaint` unless `is_so`, also where Python drops assert statements."""
    if not is_so:
        raise AssertionError(complaint)


def expect_close(what: str, actual: Tensor, expected: Any, tolerance: float) -> None:
    """AssertionError unless `actual` has the shape and, up to `tolerance`, the values of `expected`."""
    actual, expected = actual.detach().cpu().double(), torch.as_tensor(expected).detach().cpu().double()
    shapes = tuple(actual.shape), tuple(expected.shape)
    expect(shapes[0] == shapes[1], f"{what} has shape {shapes[0]} instead of {shapes[1]}")
    errors = (actual - expected).abs()
    is_close = bool((errors <= tolerance).all())  # False for NaN
    worst = errors.max().item() if errors.numel() else 0.0
    expect(is_close, f"{what} is off by up to {worst:.2g}, where {tolerance:g} is allowed")


def gradients(
    values: Tensor, inputs: Sequence[Tensor], cotangent: Tensor | None = None
) -> list[Tensor]:
    """Gradients of the sum of `values` with `cotangent`, zero where they do not depend on an input.

    Args:
        values (Tensor): <Z>.
        inputs (sequence of Tensors): to differentiate by.
        cotangent (Tensor or None): of the shape of `values`. Default: numbers that all differ.
    """
    if not values.requires_grad:
        return [torch.zeros_like(tensor) for tensor in inputs]
    if cotangent is None:
        cotangent = torch.linspace(1, 2, values.numel()).reshape(values.shape)
    found = torch.autograd.grad(values, inputs, cotangent.to(values), allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for t, g in zip(inputs, found, strict=True)]
