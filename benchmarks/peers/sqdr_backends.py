"""sqdr's own backends, and the layer that a classical network would have in the circuit's place."""

from typing import Any

import torch
from case import NOISE, Case, Step, torch_step
from torch import nn

import sqdr
from sqdr.backends.native import kernels


def circuit_step(case: Case, backend: str = "native", **options: Any) -> Step:
    """A backend of sqdr, with its options."""
    circuit = sqdr.create_circuit(
        backend,
        case.n_wires,
        case.n_blocks,
        entanglement=case.entanglement,
        noise=NOISE if case.noisy else None,
        dtype=getattr(torch, case.dtype),
        **options,
    )
    with torch.no_grad():
        circuit.weights.copy_(torch.from_numpy(case.weights))
    circuit.to(case.device)
    return torch_step(case, circuit, circuit.weights)


def operations_step(case: Case) -> Step:
    """The native engine by torch's operations, as it is where there are no kernels."""
    step = circuit_step(case)

    def without_kernels() -> tuple[Any, Any, Any]:
        with kernels.switched_off():
            return step()

    return without_kernels


def linear_step(case: Case) -> Step:
    linear = nn.Linear(3 * case.n_wires, case.n_wires, dtype=getattr(torch, case.dtype))
    return torch_step(case, linear.to(case.device), linear.weight)
