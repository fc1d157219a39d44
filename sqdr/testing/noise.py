"""Checks of noise, for backends with that capability."""

import torch
from torch import nn

from sqdr.circuit import ReuploadCircuit
from sqdr.noise import AmplitudeDamping, BitFlip, NoiseModel, NoiseProcess
from sqdr.testing import reference
from sqdr.testing.cases import (
    ALL_NOISE,
    CHANNELS,
    COHERENT,
    TWO_OPERATORS,
    Case,
    reference_gradients,
    reference_strength_gradients,
    reference_values,
)
from sqdr.testing.subject import Subject, expect_close, gradients

_OF_EACH_WIRE = (0.3, 0.0, 0.05)
_TRAINED = [
    Case(  # every channel in both places, with strengths that differ between wires or do not
        3,
        2,
        "linear",
        tuple((name, (0.02, 0.3, 0.1)) for name in CHANNELS),
        tuple((name, 0.05) for name in reversed(CHANNELS)),
        0.03,
    ),
    Case(3, 3, "circular", (("AmplitudeDamping", 0.1),), (("PhaseFlip", (0.02, 0.3, 0.1)),)),
]


def channels(subject: Subject) -> None:
    """Each channel acts in both places, on every wire after rotations and after CZ layers."""
    for name in CHANNELS:
        for strength in (0.3, _OF_EACH_WIRE):
            named = ((name, strength),)
            _expect_values(subject, Case(3, 3, "linear", named), f"{name}({strength}) after rotations")
            _expect_values(
                subject, Case(3, 3, "linear", (), named), f"{name}({strength}) after CZ layers"
            )


def kraus_channels(subject: Subject) -> None:
    """A channel given by any Kraus operators acts in both places, also between others."""
    for operators in (COHERENT, TWO_OPERATORS):
        kraus = ("Kraus", operators)
        among = (("AmplitudeDamping", _OF_EACH_WIRE), kraus, ("BitFlip", 0.1))
        for n_blocks, entanglement in ((2, "linear"), (2, "pairs"), (3, "linear"), (3, "none")):
            first = Case(3, n_blocks, entanglement, (kraus,), (), 0.1)
            second = Case(3, n_blocks, entanglement, (), among, _OF_EACH_WIRE)
            for case, where in ((first, "after rotations"), (second, "after CZ layers")):
                _expect_values(subject, case, f"{case}, {len(operators)} operators {where}")


def order_of_channels(subject: Subject) -> None:
    """Several channels act in their order, in all blocks and with any pairs."""
    for n_wires, n_blocks, entanglement in (
        *((1, 1, "none"), (1, 3, "none"), (2, 2, "circular"), (3, 2, "linear")),
        *((3, 3, "circular"), (3, 2, "pairs"), (4, 3, "linear")),
    ):
        case = Case(n_wires, n_blocks, entanglement, *ALL_NOISE[:2])
        _expect_values(subject, case, str(case))


def readout_error(subject: Subject) -> None:
    """A readout error p multiplies <Z> by 1 - 2 p, alone and after channels."""
    for error in (0.1, _OF_EACH_WIRE):
        for after_rotation, after_entangler in (((), ()), ALL_NOISE[:2]):
            case = Case(3, 2, "linear", after_rotation, after_entangler, error)
            _expect_values(subject, case, f"readout_error={error}")


def drawn_noise(subject: Subject) -> None:
    """Strengths that differ between blocks, samples and wires act where they are drawn for, once."""
    case = Case(3, 3)
    circuit = subject.circuit(case, noise=NoiseModel.preset("author-code"))
    angles, generator = subject.angles(case, 3), circuit.generator
    assert generator is not None  # this noise is drawn
    generator.manual_seed(5)
    drawn = ReuploadCircuit.realised_noise(circuit, angles.reshape(3, 3, 3))
    generator.manual_seed(5)
    values = circuit(angles.clone())
    _, weights = case.draw()
    places = (map(_of_samples, place) for place in (drawn.after_rotation, drawn.after_entangler))
    expected = reference.expectation_values(
        angles.double().numpy(), weights, case.pairs, *map(list, places)
    )
    expect_close("<Z>", values, expected, subject.tolerance)


def gradient_of_strengths(subject: Subject) -> None:
    """<Z> has the exact gradient by trained strengths, and by angles and weights next to them."""
    for case in _TRAINED:
        circuit = subject.circuit(case, noise=case.trainable_noise)
        angles = subject.angles(case, 1).requires_grad_()
        trained = dict(circuit.named_parameters()) | {"angles": angles}
        found = gradients(circuit(angles), list(trained.values()))
        expected = reference_gradients(case) | reference_strength_gradients(case)
        expected["angles"] = expected["angles"][None]
        for (name, tensor), gradient in zip(trained.items(), found, strict=True):
            wanted = expected[name] if tensor.dim() else expected[name].sum()
            what = f"{case}: the gradient by {name}"
            expect_close(what, gradient, wanted, 4 * subject.tolerance)


def changed_strengths(subject: Subject) -> None:
    """A strength that is trained or loaded after an evaluation counts in the next."""
    case = Case(3, 2, "linear", (("BitFlip", 0.1),), (("AmplitudeDamping", _OF_EACH_WIRE),))
    trained = nn.Parameter(torch.tensor(0.4, dtype=torch.float64))
    noise = NoiseModel((BitFlip(trained),), (AmplitudeDamping(_OF_EACH_WIRE),))
    circuit = subject.circuit(case, noise=noise)
    angles = subject.angles(case)
    circuit(angles)
    with torch.no_grad():
        trained.fill_(0.1)
    expect_close(
        "<Z> of a changed strength", circuit(angles), reference_values(case), subject.tolerance
    )


def _of_samples(channel: NoiseProcess) -> reference.Named:
    """A channel in the reference's terms, its strengths in the order (batch, n_blocks, n_wires)."""
    strength = torch.as_tensor(channel.strength, dtype=torch.float64)
    return type(channel).__name__, (strength.movedim(1, 0) if strength.dim() else strength).numpy()


def _expect_values(subject: Subject, case: Case, what: str) -> None:
    expected = reference_values(case)
    expect_close(
        f"{what}: <Z>", subject.circuit(case)(subject.angles(case)), expected, subject.tolerance
    )


CHECKS = (
    *(channels, order_of_channels, readout_error, kraus_channels, drawn_noise),
    *(gradient_of_strengths, changed_strengths),
)
