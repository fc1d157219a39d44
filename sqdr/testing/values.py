"""Checks of what a circuit without noise computes: its precision, shapes, values and gradients."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from sqdr.noise import BitFlip, NoiseModel
from sqdr.testing.cases import Case, reference_gradients, reference_values
from sqdr.testing.subject import TOLERANCES, Subject, expect, expect_close, gradients

_DIFFERENTIATED = [
    Case(n_wires, n_blocks, entanglement)
    for n_wires, n_blocks, entanglement in (
        *((1, 2, "none"), (3, 1, "none"), (2, 2, "circular"), (3, 2, "linear"), (3, 2, "pairs")),
        *((3, 3, "linear"), (3, 3, "circular")),
    )
]


def double_precision(subject: Subject) -> None:
    """A backend with the capability "float64" computes in it, and others refuse it."""
    if not subject.can("float64"):
        _expect_refusal(subject, "float64", dtype=torch.float64)
        return
    circuit = subject.circuit(Case(1, 1), dtype=torch.float64)
    expect(circuit.weights.dtype == torch.float64, f"float64 weights are {circuit.weights.dtype}")
    nn.init.zeros_(circuit.weights)
    values = circuit(torch.tensor([0.0, 1.1, 0.0], dtype=torch.float64))
    expected = torch.tensor([math.cos(1.1)], dtype=torch.float64)
    expect_close("<Z> in float64", values, expected, TOLERANCES[torch.float64])


def shapes(subject: Subject) -> None:
    """Angles (..., 3 * n_wires) give <Z> (..., n_wires), and each row what it gives alone."""
    for n_wires in (1, 3):
        case = Case(n_wires, 2)
        for leading in ((), (1,), (3,), (2, 3), (1, 1), (0,), (2, 0)):
            angles = subject.angles(case, math.prod(leading)).reshape(*leading, 3 * n_wires)
            values, what = subject.circuit(case)(angles), f"<Z> of angles {tuple(angles.shape)}"
            rows = [
                subject.circuit(case)(row).reshape(n_wires) for row in angles.reshape(-1, 3 * n_wires)
            ]
            expected = torch.stack(rows) if rows else values.new_zeros(0, n_wires)
            expect_close(what, values, expected.reshape(*leading, n_wires), subject.tolerance)


def samples_that_are_not_finite(subject: Subject) -> None:
    """An angle that is not finite gives NaN on its wire, and leaves the other samples as they are."""
    for case in dict.fromkeys((Case(3, 2, "none"), subject.member(2, "none", noisy=False))):
        angles = subject.angles(case, 2).requires_grad_()
        expected = subject.circuit(case)(angles)
        (expected_gradient,) = gradients(expected[1], [angles])
        for bad in (math.nan, math.inf):
            spoilt = angles.detach().clone()
            spoilt[0, 1] = bad
            values = subject.circuit(case)(spoilt.requires_grad_())
            spoils = bool(values[0, 0].isnan())
            expect(spoils, f"{case}: of an angle of {bad} comes {values[0, 0].item():.3g}")
            beside = f"beside an angle of {bad}"
            expect_close(f"{case}: the output {beside}", values[1], expected[1], subject.tolerance)
            (found,) = gradients(values[1], [spoilt])
            what = f"{case}: the gradient by the angles {beside}"
            expect_close(what, found[1], expected_gradient[1], 4 * subject.tolerance)


def wires(subject: Subject) -> None:
    """Each wire has its own three angles and its own <Z>: cos(theta) after RY(theta) on |0>."""
    thetas = torch.tensor([0.3, 1.1, 1.9, 2.7], dtype=subject.dtype)
    turned = torch.zeros(4, 3, dtype=subject.dtype)
    turned[:, 1] = thetas
    for source, angles, weights in (("angles", turned, 0 * turned), ("weights", 0 * turned, turned)):
        circuit = subject.circuit(Case(4, 1))
        with torch.no_grad():
            circuit.weights.copy_(weights)
        values = circuit(angles.reshape(1, 12))
        expect_close(f"<Z> of RY by the {source}", values[0], thetas.cos(), subject.tolerance)


def rotations(subject: Subject) -> None:
    """Each block does Rot(x) and then Rot(w), with Rot = RZ(omega) RY(theta) RZ(phi)."""
    for n_wires, n_blocks in ((1, 1), (1, 3), (2, 2), (3, 1)):
        _expect_values(subject, Case(n_wires, n_blocks, "none"))


def entanglement(subject: Subject) -> None:
    """Between blocks, and not after the last, a CZ acts on each of the pairs asked for."""
    for n_wires, n_blocks in ((2, 2), (2, 3), (3, 2), (4, 2), (4, 3)):
        for name in ("linear", "circular", "full", "pairs"):
            _expect_values(subject, Case(n_wires, n_blocks, name))


def gradient_of_angles(subject: Subject) -> None:
    """<Z> has the exact gradient by the angles, each row of a batch its own."""
    for case in _DIFFERENTIATED:
        found, _ = _gradients(subject, case)
        expect(bool(found.any()), f"{case}: the gradient by the angles is lost")
        first, second = (reference_gradients(case, sample)["angles"] for sample in range(2))
        expected = np.stack([first, -2 * second])
        expect_close(f"{case}: the gradient by the angles", found, expected, 4 * subject.tolerance)


def gradient_of_weights(subject: Subject) -> None:
    """<Z> has the exact gradient by the weights, that of a batch being the sum over its rows."""
    for case in _DIFFERENTIATED:
        _, found = _gradients(subject, case)
        expect(bool(found.any()), f"{case}: the gradient by the weights is lost")
        first, second = (reference_gradients(case, sample)["weights"] for sample in range(2))
        expected = first - 2 * second
        expect_close(f"{case}: the gradient by the weights", found, expected, 4 * subject.tolerance)


def undeclared_noise(subject: Subject) -> None:
    """A backend without the capability "noise" refuses noise instead of leaving it out."""
    if not subject.can("noise"):
        _expect_refusal(subject, "noise", noise=NoiseModel((BitFlip(0.1),)))
        _expect_refusal(subject, "noise", noise=NoiseModel(readout_error=0.1))


def _gradients(subject: Subject, case: Case) -> list[Tensor]:
    """Gradients of two samples, the second with -2 times the cotangent of the first."""
    circuit, angles = subject.circuit(case), subject.angles(case, 2).requires_grad_()
    cotangent = torch.as_tensor(np.outer([1, -2], case.cotangent))
    return gradients(circuit(angles), [angles, circuit.weights], cotangent)


def _expect_values(subject: Subject, case: Case) -> None:
    values = subject.circuit(case)(subject.angles(case))
    expect_close(f"{case}: <Z>", values, reference_values(case), subject.tolerance)


def _expect_refusal(subject: Subject, capability: str, **options: object) -> None:
    complaint = f'{options} is accepted without the capability "{capability}"'
    expect(subject.refuses(**options), complaint)


CHECKS = (
    *(double_precision, shapes, wires, rotations, entanglement),
    *(gradient_of_angles, gradient_of_weights, samples_that_are_not_finite, undeclared_noise),
)
