"""torq-quantum: batched statevectors, a wall of one-wire gates at a time. It has no noise channels."""

import torch
import torq
from case import CannotError, Case, Step, torch_step


def create_step(case: Case) -> Step:
    """The two gates on a wire are multiplied first; CZ layers are diagonal and multiply the state."""
    if case.noisy:
        raise CannotError("has no noise channels")
    weights = case.tensor(case.weights)
    signs = _signs_of_cz_layer(case)

    def layer(angles: torch.Tensor) -> torch.Tensor:
        batch, n_wires = len(angles), case.n_wires
        of_data = torq.get_rot_gate(angles.reshape(-1, 3)).reshape(batch, n_wires, 2, 2)
        of_weights = torq.get_rot_gate(weights.reshape(-1, 3)).reshape(-1, n_wires, 2, 2)
        state = torq.get_initial_state(n_wires, batch, x=angles)
        for block, gates in enumerate(of_weights):
            state = torq.data_reuploading(state, gates @ of_data)
            if block < case.n_blocks - 1:
                state = state * signs
        return torq.measure_local_Z(state)

    return torch_step(case, layer, weights)


def _signs_of_cz_layer(case: Case) -> torch.Tensor:
    """The diagonal (2 ** n_wires, 1) of all CZs of a layer, wire 0 the highest bit."""
    basis = torch.arange(2**case.n_wires, device=case.device)
    bits = [(basis >> (case.n_wires - 1 - wire)) & 1 for wire in range(case.n_wires)]
    n_flips = sum(bits[first] & bits[second] for first, second in case.pairs)
    return (1 - 2 * (n_flips % 2)).unsqueeze(1)
