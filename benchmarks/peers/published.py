"""The two layers of the published implementation, luutn2002/SQDR-CNN, rewritten."""

import torch
import torchquantum as tq
from case import CannotError, Case, Step, torch_step
from peers.pennylane_qnode import create_qnode


def pennylane_step(case: Case) -> Step:
    """One sample at a time, on default.mixed with noise and default.qubit without."""
    qnode = create_qnode(case, "torch")
    weights = case.tensor(case.weights)

    def layer(angles: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.stack(qnode(sample, weights)) for sample in angles])

    return torch_step(case, layer, weights)


def torchquantum_step(case: Case) -> Step:
    """TorchQuantum's modules, batched: CZs on a ring, after the last block too, and no noise."""
    if case.noisy:
        raise CannotError("has no noise")
    if case.dtype != "float32":
        raise CannotError("TorchQuantum computes in single precision")
    if case.entanglement != "circular":
        raise CannotError("entangles on a ring")
    encoder = tq.GeneralEncoder(
        [
            {"input_idx": [3 * wire, 3 * wire + 1, 3 * wire + 2], "func": "rot", "wires": [wire]}
            for wire in range(case.n_wires)
        ]
    )
    rotations = [
        [tq.Rot(has_params=True, trainable=True, init_params=of_wire.tolist()) for of_wire in of_block]
        for of_block in case.weights
    ]
    modules = [rotation.to(case.device) for of_block in rotations for rotation in of_block]
    entangle = tq.EntangleCircular(tq.CZ, case.n_wires)
    measure = tq.MeasureAll(tq.PauliZ)
    angles = case.tensor(case.angles)

    def step() -> tuple[torch.Tensor, ...]:
        angles.grad = None
        for module in modules:
            module.zero_grad()
        state = tq.QuantumDevice(case.n_wires, bsz=case.batch, device=case.device)
        for of_block in rotations:
            encoder(state, angles)
            for wire, rotation in enumerate(of_block):
                rotation(state, wires=wire)
            entangle(state)
        values = measure(state)
        values.sum().backward()
        if case.device == "cuda":
            torch.cuda.synchronize()
        gradients = torch.stack([module.params.grad for module in modules])
        return values, angles.grad, gradients.reshape(case.weights.shape)

    return step
