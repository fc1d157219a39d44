"""pyqtorch: batched parameters, neighbouring gates merged, density matrices for noise."""

import pyqtorch
import torch
from case import AMPLITUDE_DAMPING, BIT_FLIP, DEPOLARIZING, Case, Step, torch_step, z_of_probabilities


def create_step(case: Case) -> Step:
    """`U` is Rot; `Merge` multiplies the two on a wire before they meet the state."""
    operations: list[torch.nn.Module] = []
    for block in range(case.n_blocks):
        for wire in range(case.n_wires):
            names = [f"w{block}_{wire}_{k}" for k in range(3)]
            of_data = pyqtorch.U(wire, *(f"x{wire}_{k}" for k in range(3)))
            operations.append(pyqtorch.Merge([of_data, pyqtorch.U(wire, *names)]))
            if case.noisy:
                operations.append(pyqtorch.noise.BitFlip(wire, BIT_FLIP))
                operations.append(pyqtorch.noise.Depolarizing(wire, DEPOLARIZING))
                operations.append(pyqtorch.noise.AmplitudeDamping(wire, AMPLITUDE_DAMPING))
        if block < case.n_blocks - 1:
            operations += [pyqtorch.CZ(*pair) for pair in case.pairs]
    circuit = pyqtorch.QuantumCircuit(case.n_wires, operations)
    dtype = torch.complex128 if case.dtype == "float64" else torch.complex64
    circuit = circuit.to(case.device, dtype)
    weights = case.tensor(case.weights)

    def layer(angles: torch.Tensor) -> torch.Tensor:
        values = {f"x{i // 3}_{i % 3}": angle for i, angle in enumerate(angles.unbind(1))}
        for block, of_block in enumerate(weights):
            for wire, of_wire in enumerate(of_block):
                values |= {f"w{block}_{wire}_{k}": angle.reshape(1) for k, angle in enumerate(of_wire)}
        state = circuit.run(values=values)
        if case.noisy:  # (2 ** n, 2 ** n, batch)
            return z_of_probabilities(torch.diagonal(state).real)
        return z_of_probabilities(state.flatten(0, -2).T.abs().square())

    return torch_step(case, layer, weights)
