"""Checks of the members of the family beyond the published circuit, by what a backend declares."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from sqdr.circuit import Capability
from sqdr.noise import NoiseModel, ReadoutError, TwoWireDepolarizing
from sqdr.testing.cases import (
    Case,
    reference_gradients,
    reference_strength_gradients,
    reference_values,
)
from sqdr.testing.subject import Subject, expect, expect_close, gradients

#: Words that are not the same backwards, of as many letters as "Rot" and of more and fewer.
_AXES = ("X", "Y", "ZX", "XZY", "YXZX")
_OF_TWO_WIRES = ("Z0 Z1", "X1 Z2", "Z0 X2", "Y1 X2", "X0 Y1", "Y0 Y2")
_OF_THREE_WIRES = ("Y0 X1 Z2", "Y2", "X0 X1 X2", "Z0")
_DIRECTED = ((0.1, 0.2, 0.02), (0.03, 0.01, 0.3))
#: Two-wire noise of each pair between channels that it does not commute with.
_OF_PAIRS = (
    ("AmplitudeDamping", (0.1, 0.3, 0.2)),
    ("TwoWireDepolarizing", (0.1, 0.3)),
    ("AmplitudeDamping", 0.2),
)


def encoding_axes(subject: Subject) -> None:
    """The data turns each wire around the axes of `encoding`, the first letter's first."""
    for axes in _AXES:
        _expect_member(subject, Case(3, 2, encoding=axes))
    _expect_member(subject, Case(3, 3, "circular", encoding="ZXY"))


def rotation_axes(subject: Subject) -> None:
    """The weights turn each wire around the axes of `rotation`, the first letter's first."""
    for axes in _AXES:
        _expect_member(subject, Case(3, 2, rotation=axes))
    _expect_member(subject, Case(3, 3, "circular", rotation="ZXY"))


def split_inputs(subject: Subject) -> None:
    """With `inputs="split"` each block reads features of its own, by block, wire and letter."""
    for n_wires, n_blocks, entanglement in ((2, 1, "none"), (3, 2, "linear"), (3, 3, "circular")):
        _expect_member(subject, Case(n_wires, n_blocks, entanglement, inputs="split"))


def scales(subject: Subject) -> None:
    """With `scaling` each angle of the data has a factor in each block, `scales`."""
    for n_blocks, entanglement in ((1, "none"), (2, "linear"), (3, "circular")):
        for inputs in ("repeat", "split"):
            _expect_member(subject, Case(3, n_blocks, entanglement, inputs=inputs, scaling=True))


def couplings(subject: Subject) -> None:
    """With `entangler="ZZ"` each pair has exp(-i theta/2 Z Z), theta being that of its layer."""
    for n_wires, n_blocks, entanglement in (
        *((2, 1, "linear"), (2, 2, "linear"), (3, 2, "none"), (3, 3, "linear")),
        *((3, 3, "full"), (3, 2, "pairs"), (4, 3, "circular")),
    ):
        _expect_member(subject, Case(n_wires, n_blocks, entanglement, entangler="ZZ"))


def observables_of_one_wire(subject: Subject) -> None:
    """Outputs are <X> or <Y> of every wire, or of the wires that are named, in their order."""
    for observables in ("X", "Y", ("X2", "Z0"), ("Y1", "Z2", "X1", "X0"), ("Z1",)):
        for n_blocks, entanglement in ((1, "none"), (2, "linear"), (3, "circular")):
            _expect_member(subject, Case(3, n_blocks, entanglement, observables=observables))


def observables_of_several_wires(subject: Subject) -> None:
    """An output of a word such as "X1 Y2" is the mean of the product, also between other words."""
    for words in (_OF_TWO_WIRES, _OF_THREE_WIRES):
        for n_blocks, entanglement in ((1, "none"), (2, "linear"), (2, "pairs"), (3, "circular")):
            _expect_member(subject, Case(3, n_blocks, entanglement, observables=words))


def readout_error_of_words(subject: Subject) -> None:
    """A readout error p multiplies a word by 1 - 2 p for each of its wires, of any letter."""
    for error in (0.1, (0.3, 0.01, 0.05)):
        for words in (_OF_TWO_WIRES, _OF_THREE_WIRES):
            _expect_member(subject, Case(3, 2, readout_error=error, observables=words))


def two_wire_noise(subject: Subject) -> None:
    """`TwoWireDepolarizing` acts on each pair after its layer, in its place among the channels."""
    alone = (("TwoWireDepolarizing", 0.2),)
    for n_blocks, entanglement in ((1, "linear"), (2, "linear"), (3, "linear"), (2, "pairs")):
        for noise in (alone, _OF_PAIRS):
            _expect_member(subject, Case(3, n_blocks, entanglement, after_entangler=noise))
    _expect_member(subject, Case(3, 2, "full", (("BitFlip", 0.1),), alone))


def directed_readout_error(subject: Subject) -> None:
    """A `ReadoutError` reads a 0 wrongly with its first probability, and a 1 with its second."""
    case = Case(3, 2, readout_error=((0.1,), (0.3,)))
    _expect_member(subject, case)
    _expect_member(subject, replace(case, readout_error=_DIRECTED))
    if subject.can("observables"):
        for words in (_OF_TWO_WIRES, _OF_THREE_WIRES):
            _expect_member(subject, replace(case, readout_error=_DIRECTED, observables=words))


def members(subject: Subject) -> None:
    """All that a backend declares goes together in one circuit, with noise in every place."""
    for n_blocks, entanglement in ((2, "pairs"), (3, "circular")):
        _expect_member(subject, subject.member(n_blocks, entanglement))


def undeclared_members(subject: Subject) -> None:
    """A backend refuses members that it does not declare, instead of evaluating others."""
    for capability, examples in _EXAMPLES.items():
        if not subject.can(capability):
            for options in examples:
                complaint = f'{options} is accepted without the capability "{capability}"'
                expect(subject.refuses(**options), complaint)


#: What needs each capability.
_EXAMPLES: Mapping[Capability, tuple[dict[str, Any], ...]] = {
    "axes": ({"encoding": "X"}, {"rotation": "YX"}),
    "inputs": ({"inputs": "split"}, {"scaling": True}),
    "couplings": ({"entangler": "ZZ"},),
    "observables": ({"observables": "X"}, {"observables": ("Z0",)}, {"observables": ("Z0 Z1",)}),
    "device-noise": (
        {"noise": NoiseModel(after_entangler=(TwoWireDepolarizing(0.1),))},
        {"noise": NoiseModel(readout_error=ReadoutError(0.1, 0.2))},
    ),
}


def _expect_member(subject: Subject, case: Case) -> None:
    """The output for two samples, and its gradients by the angles and by all that can be trained."""
    angles = subject.angles(case, 2).requires_grad_()
    circuit = subject.circuit(case)
    values = circuit(angles)
    expect_close(f"{case}: the output", values, reference_values(case)[:2], subject.tolerance)
    if case.noise:
        circuit = subject.circuit(case, noise=case.trainable_noise)
        values = circuit(angles)
    inputs = {"angles": angles, **dict(circuit.named_parameters())}
    cotangent = np.outer([1, -2], case.cotangent)
    found = gradients(values, list(inputs.values()), torch.as_tensor(cotangent))
    first, second = (_reference_gradients(case, sample) for sample in range(2))
    expect(set(inputs) == set(first), f"{case}: what is trained is {', '.join(list(inputs)[1:])}")
    for (name, tensor), gradient in zip(inputs.items(), found, strict=True):
        if name == "angles":
            expected = np.stack([first[name], -2 * second[name]])
        else:
            expected = first[name] - 2 * second[name]
        if tensor.numel() == 1:
            expected = expected.sum().reshape(tensor.shape)
        expect_close(f"{case}: the gradient by {name}", gradient, expected, 4 * subject.tolerance)


def _reference_gradients(case: Case, sample: int) -> dict[str, Any]:
    of_strengths = reference_strength_gradients(case, sample) if case.noise else {}
    return reference_gradients(case, sample) | of_strengths


#: The checks, and the capabilities without which they are not made.
CHECKS: Mapping[Callable[[Subject], None], frozenset[Capability]] = {
    undeclared_members: frozenset(),
    encoding_axes: frozenset({"axes"}),
    rotation_axes: frozenset({"axes"}),
    split_inputs: frozenset({"inputs"}),
    scales: frozenset({"inputs"}),
    couplings: frozenset({"couplings"}),
    observables_of_one_wire: frozenset({"observables"}),
    observables_of_several_wires: frozenset({"observables"}),
    readout_error_of_words: frozenset({"noise", "observables"}),
    two_wire_noise: frozenset({"noise", "device-noise"}),
    directed_readout_error: frozenset({"noise", "device-noise"}),
    members: frozenset(),
}
