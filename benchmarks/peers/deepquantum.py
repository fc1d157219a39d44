"""deepquantum: batched by torch.vmap over the encoded data, density matrices for noise."""

import math

import deepquantum as dq
import torch
from case import AMPLITUDE_DAMPING, BIT_FLIP, DEPOLARIZING, Case, Step, torch_step, z_of_probabilities


def create_step(case: Case) -> Step:
    """One U3 gate for each Rot; a channel takes the angle whose squared sine is its probability."""
    circuit = dq.QubitCircuit(case.n_wires, den_mat=case.noisy, reupload=True)
    trained = []
    bit_flip, depolarizing, damping = (
        math.asin(math.sqrt(p)) for p in (BIT_FLIP, DEPOLARIZING, AMPLITUDE_DAMPING)
    )
    for block in range(case.n_blocks):
        for wire in range(case.n_wires):
            circuit.u3(wire, encode=True)
            circuit.u3(wire, [0.0, 0.0, 0.0])
            trained.append(circuit.operators[-1])
            if case.noisy:
                circuit.bit_flip(wire, bit_flip)
                circuit.depolarizing(wire, depolarizing)
                circuit.amp_damp(wire, damping)
        if block < case.n_blocks - 1:
            for control, target in case.pairs:
                circuit.cz(control, target)
    circuit.to(case.device)
    if case.dtype == "float64":
        circuit.to(torch.float64)
    weights = case.tensor(case.weights)

    def layer(angles: torch.Tensor) -> torch.Tensor:
        for gate, of_gate in zip(trained, _as_u3(weights).reshape(-1, 3), strict=True):
            gate.init_para(of_gate)
        state = circuit(_as_u3(angles.reshape(-1, case.n_wires, 3)).flatten(1))
        if case.noisy:
            return z_of_probabilities(state.diagonal(dim1=1, dim2=2).real)
        return z_of_probabilities(state.squeeze(-1).abs().square())

    return torch_step(case, layer, weights)


def _as_u3(angles: torch.Tensor) -> torch.Tensor:
    """U3(theta, omega, phi) is Rot(phi, theta, omega) up to a phase."""
    return angles[..., [1, 2, 0]]
