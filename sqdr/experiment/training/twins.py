"""Twins of SQDR-CNN without the quantum circuit, for honest comparison."""

from typing import get_args

import torch
from torch import Tensor, nn

from sqdr.circuit import ReuploadCircuit
from sqdr.experiment.options import Variant
from sqdr.model import SQDR_CNN
from sqdr.validation import argument_error


class WireMLP(nn.Sequential):
    """A small tanh network for each wire, in the place and of the size of the circuit.

    Each wire has weights of its own and sees its own angles, as in a circuit without entanglement. A
    layer from all angles to all wires would be no fair rival: the circuit's few parameters would leave
    it one or two hidden units for all wires together. With f angles, h hidden units and o outputs a
    wire has h (f + 1 + o) + o parameters, and h is chosen for these to come as close as they can to the
    circuit's; in the published circuit of two blocks both are 6.

    Args:
        circuit (ReuploadCircuit): that it stands for, with as many outputs for each wire.

    Shape:
        angles (Tensor of shape (batch, n_features)): in radians, in the order of the circuit's.
        returns (Tensor of shape (batch, n_outputs)): in place of the expectation values, but unbounded,
            and wire by wire.
    """

    def __init__(self, circuit: ReuploadCircuit) -> None:
        n_wires, n_features, n_outputs = circuit.n_wires, circuit.n_features, circuit.n_outputs
        of_wire, from_wire = n_features // n_wires, n_outputs // n_wires
        n_parameters = sum(tensor.numel() for tensor in circuit.trained_tensors()) / n_wires
        n_hidden = max(1, round((n_parameters - from_wire) / (of_wire + 1 + from_wire))) * n_wires
        super().__init__(
            nn.Conv1d(n_features, n_hidden, kernel_size=1, groups=n_wires),
            nn.Tanh(),
            nn.Conv1d(n_hidden, n_outputs, kernel_size=1, groups=n_wires),
            nn.Flatten(),
        )
        self._shape = circuit.ansatz.n_inputs, n_wires

    def forward(self, angles: Tensor) -> Tensor:
        by_wire = angles.reshape(len(angles), *self._shape, -1).transpose(1, 2)
        values: Tensor = super().forward(by_wire.reshape(*angles.shape, 1))  # type: ignore[no-untyped-call]
        return values


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
            circuit without as many outputs for each wire, or if the model has no circuit.
    """
    if circuit not in get_args(Variant):
        raise argument_error("circuit", f"be one of {', '.join(get_args(Variant))}", f"is {circuit!r}")
    quantum = model.quantum
    if quantum is None:
        raise argument_error("model", "have its circuit", f"has a {type(model.circuit).__name__}")
    if circuit == "none" and model.head_name == "none":
        raise argument_error("circuit", 'not be "none" for a model with head="none"', "is")
    if circuit == "mlp" and quantum.n_outputs % quantum.n_wires:
        but = f"they are {quantum.n_outputs} of {quantum.n_wires} wires"
        raise argument_error("observables", 'be as many for each wire for circuit "mlp"', but)
    with torch.random.fork_rng(devices=[]):
        match circuit:
            case "frozen":
                for tensor in quantum.trained_tensors():
                    tensor.requires_grad_(False)
            case "mlp":
                model.circuit = WireMLP(quantum).to(quantum.weights)
            case "none":
                reads_angles = nn.Linear(quantum.n_features, model.num_class).to(quantum.weights)
                model.circuit = nn.Identity()
                if isinstance(model.head, nn.Sequential):
                    model.head[0] = reads_angles
                else:
                    model.head = reads_angles
    return model
