"""Twins of SQDR-CNN without the quantum circuit, for honest comparison."""

from typing import get_args

import torch
from torch import nn

from sqdr.experiment.options import Variant
from sqdr.model import SQDR_CNN
from sqdr.validation import argument_error


class WireMLP(nn.Sequential):
    """A small tanh network for each wire, in the place and of the size of the circuit.

    Each wire has weights of its own and sees its own three angles, as in a circuit without
    entanglement. A layer from all angles to all wires would be no fair rival: the circuit's few
    parameters would leave it one or two hidden units for all wires together. With h hidden units a wire
    has 5 h + 1 parameters, and h is chosen for 5 h + 1 to come as close as it can to the circuit's 3
    for each block; with two blocks both have 6.

    Args:
        n_wires (int): number of wires.
        n_blocks (int): number of blocks of the circuit that it stands for.

    Shape:
        angles (Tensor of shape (batch, 3 * n_wires)): in radians.
        returns (Tensor of shape (batch, n_wires)): in place of the expectation values, but unbounded.
    """

    def __init__(self, n_wires: int, n_blocks: int) -> None:
        n_hidden = max(1, round((3 * n_blocks - 1) / 5)) * n_wires
        super().__init__(
            nn.Unflatten(1, (3 * n_wires, 1)),
            nn.Conv1d(3 * n_wires, n_hidden, kernel_size=1, groups=n_wires),
            nn.Tanh(),
            nn.Conv1d(n_hidden, n_wires, kernel_size=1, groups=n_wires),
            nn.Flatten(),
        )


def make_twin(model: SQDR_CNN, circuit: Variant) -> SQDR_CNN:
    """The model itself, with its circuit frozen or replaced.

    What is left of the model keeps its weights, and torch's random generator its state, so that twins
    of equal seeds start alike and see the same images in the same order.

    Args:
        model (SQDR_CNN): a model with its circuit, which is changed.
        circuit (str): "quantum" changes nothing; "frozen" keeps the circuit's weights, scales and
            couplings as they are in training; "mlp" puts a `WireMLP` in its place; "none" leaves it
            out, and a new head reads its angles.

    Raises:
        ValueError: if `circuit` is none of these, or "none" for a model without a head, or "mlp" for a
            circuit that has not three features and one output a wire, or if the model has no circuit.
    """
    if circuit not in get_args(Variant):
        raise argument_error("circuit", f"be one of {', '.join(get_args(Variant))}", f"is {circuit!r}")
    quantum = model.quantum
    if quantum is None:
        raise argument_error("model", "have its circuit", f"has a {type(model.circuit).__name__}")
    if circuit == "none" and model.head_name == "none":
        raise argument_error("circuit", 'not be "none" for a model with head="none"', "is")
    n_wires, n_blocks = quantum.n_wires, quantum.n_blocks
    if circuit == "mlp" and (quantum.n_features, quantum.n_outputs) != (3 * n_wires, n_wires):
        but = f"it has {quantum.n_features} and {quantum.n_outputs} on {n_wires} wires"
        raise argument_error("circuit", 'have 3 features and 1 output a wire for "mlp"', but)
    with torch.random.fork_rng(devices=[]):
        match circuit:
            case "frozen":
                for tensor in quantum.trained_tensors():
                    tensor.requires_grad_(False)
            case "mlp":
                model.circuit = WireMLP(n_wires, n_blocks).to(quantum.weights)
            case "none":
                reads_angles = nn.Linear(quantum.n_features, model.num_class).to(quantum.weights)
                model.circuit = nn.Identity()
                if isinstance(model.head, nn.Sequential):
                    model.head[0] = reads_angles
                else:
                    model.head = reads_angles
    return model
