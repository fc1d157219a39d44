"""sqdr's own backends, and the layer that a classical network would have in the circuit's place."""

from typing import Any

import torch
from case import NOISE, Case, Step, torch_step
from torch import nn

import sqdr


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


def linear_step(case: Case) -> Step:
    linear = nn.Linear(3 * case.n_wires, case.n_wires, dtype=getattr(torch, case.dtype))
    return torch_step(case, linear.to(case.device), linear.weight)
