"""Checks of what a circuit without noise computes: shapes, values, gradients, dtypes, shots."""

import math

import numpy as np
import torch
from torch import Tensor

from sqdr.noise import BitFlip, NoiseModel
from sqdr.testing.cases import Case, reference_gradients, reference_values
from sqdr.testing.subject import TOLERANCES, Subject, expect, expect_close, gradients

_CASE = Case(3, 2)
_DIFFERENTIATED = [
    Case(n_wires, n_blocks, entanglement)
    for n_wires, n_blocks, entanglement in (
        *((1, 2, "none"), (3, 1, "none"), (2, 2, "circular"), (3, 2, "linear"), (3, 2, "pairs")),
        *((3, 3, "linear"), (3, 3, "circular")),
    )
]


def shapes(subject: Subject) -> None:
    """Angles (..., 3 * n_wires) give <Z> (..., n_wires), and each row what it gives alone."""
    for n_wires in (1, 3):
        case = Case(n_wires, 2)
        circuit = subject.circuit(case)
        for leading in ((), (1,), (3,), (2, 3), (1, 1), (0,), (2, 0)):
            angles = subject.angles(case, math.prod(leading)).reshape(*leading, 3 * n_wires)
            values, what = circuit(angles), f"<Z> of angles {tuple(angles.shape)}"
            rows = [circuit(row).reshape(n_wires) for row in angles.reshape(-1, 3 * n_wires)]
            expected = torch.stack(rows) if rows else values.new_zeros(0, n_wires)
            expect_close(what, values, expected.reshape(*leading, n_wires), subject.tolerance)


def wires(subject: Subject) -> None:
    """Each wire has its own three angles and its own <Z>: cos(theta) after RY(theta) on |0>."""
    case = Case(4, 1)
    circuit = subject.circuit(case)
    thetas = torch.tensor([0.3, 1.1, 1.9, 2.7], dtype=subject.dtype)
    turned = torch.zeros(4, 3, dtype=subject.dtype)
    turned[:, 1] = thetas
    for source, angles, weights in (("angles", turned, 0 * turned), ("weights", 0 * turned, turned)):
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
        for name in ("linear", "circular", "pairs"):
            _expect_values(subject, Case(n_wires, n_blocks, name))


def gradient_of_angles(subject: Subject) -> None:
    """<Z> has the exact gradient by the angles, each row of a batch its own."""
    for case in _DIFFERENTIATED:
        found, _ = _gradients(subject, case)
        expect(bool(found.any()), f"{case}: the gradient by the angles is lost")
        first, second = (reference_gradients(case, sample)[0] for sample in range(2))
        expected = np.stack([first, -2 * second])
        expect_close(f"{case}: the gradient by the angles", found, expected, 4 * subject.tolerance)


def gradient_of_weights(subject: Subject) -> None:
    """<Z> has the exact gradient by the weights, that of a batch being the sum over its rows."""
    for case in _DIFFERENTIATED:
        _, found = _gradients(subject, case)
        expect(bool(found.any()), f"{case}: the gradient by the weights is lost")
        first, second = (reference_gradients(case, sample)[1] for sample in range(2))
        expected = first - 2 * second
        expect_close(f"{case}: the gradient by the weights", found, expected, 4 * subject.tolerance)


def frozen_inputs(subject: Subject) -> None:
    """Angles and weights are differentiated each without the other, and neither where none asks."""
    circuit, angles = subject.circuit(_CASE), subject.angles(_CASE)
    of_both = gradients(circuit(angles.requires_grad_()), [angles, circuit.weights])
    circuit.weights.requires_grad_(False)
    (of_angles,) = gradients(circuit(angles), [angles])
    expect_close("frozen weights: the gradient by the angles", of_angles, of_both[0], subject.tolerance)
    angles.requires_grad_(False)
    expect(not circuit(angles).requires_grad, "<Z> of frozen weights and angles asks for a gradient")
    circuit.weights.requires_grad_(True)
    (of_weights,) = gradients(circuit(angles), [circuit.weights])
    what = "constant angles: the gradient by the weights"
    expect_close(what, of_weights, of_both[1], subject.tolerance)
    with torch.no_grad():
        expect(not circuit(angles).requires_grad, "<Z> asks for a gradient under torch.no_grad()")


def dtypes(subject: Subject) -> None:
    """<Z> has the dtype of the angles; half precision and autocast are computed in float32."""
    circuit, angles = subject.circuit(_CASE, dtype=torch.float32), subject.angles(_CASE)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        values = circuit(angles.to(dtype))
        expect(values.dtype == dtype, f"<Z> of {dtype} angles is {values.dtype}")
        expected = circuit(angles.to(dtype).float())
        rounding = torch.finfo(dtype).eps + TOLERANCES[torch.float32]
        expect_close(f"<Z> of {dtype} angles", values, expected, rounding)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = circuit(angles.float())
    expected = circuit(angles.float())
    expect_close("<Z> under torch.autocast", values, expected, TOLERANCES[torch.float32])


def double_precision(subject: Subject) -> None:
    """A backend with the capability "float64" computes in it, others refuse it."""
    if not subject.can("float64"):
        _expect_refusal(subject, "float64", dtype=torch.float64)
        return
    circuit = subject.circuit(_CASE, dtype=torch.float64)
    expect(circuit.weights.dtype == torch.float64, f"float64 weights are {circuit.weights.dtype}")
    angles = torch.as_tensor(_CASE.draw()[0])
    expected = reference_values(_CASE)
    expect_close("<Z> in float64", circuit(angles), expected, TOLERANCES[torch.float64])


def strided_angles(subject: Subject) -> None:
    """Angles need not be contiguous: transposed, sliced and expanded ones mean what they hold."""
    circuit, angles = subject.circuit(_CASE), subject.angles(_CASE)
    padded = torch.nn.functional.pad(angles, (1, 2))
    for what, strided in (
        ("transposed", angles.t().contiguous().t()),
        ("sliced", padded[:, 1:-2]),
        ("expanded", angles[:1].expand(4, -1)),
    ):
        expected = circuit(strided.contiguous())
        expect_close(f"<Z> of {what} angles", circuit(strided), expected, subject.tolerance)


def undeclared_noise(subject: Subject) -> None:
    """A backend without the capability "noise" refuses noise instead of leaving it out."""
    if not subject.can("noise"):
        _expect_refusal(subject, "noise", noise=NoiseModel((BitFlip(0.1),)))
        _expect_refusal(subject, "noise", noise=NoiseModel(readout_error=0.1))


def shots(subject: Subject) -> None:
    """<Z> of shots is a mean of outcomes around the exact <Z>, follows torch's seed, and scatters."""
    n_shots, repetitions = 25, 100
    circuit = subject.circuit(_CASE)
    angles = subject.angles(_CASE, 1).expand(repetitions, -1)
    with torch.no_grad():
        exact = circuit(angles)
        circuit.shots = n_shots
        drawn = circuit(angles).double()
        circuit.shots = None
        expect_close("<Z> after shots = None", circuit(angles), exact, subject.tolerance)
    counts = (drawn + 1) * n_shots / 2
    expect_close("the number of +1 outcomes", counts, counts.round(), 1e-3)
    deviation = ((1 - exact[0].double() ** 2) / (n_shots * repetitions)).clamp(min=0).sqrt()
    excess = ((drawn.mean(0) - exact[0]).abs() - 5 * deviation).max().item()
    expect(excess < 1e-6, f"the mean of {repetitions} <Z> is {excess:.2g} beyond five deviations")
    expect(bool((drawn.std(0) > 0).any()), "shots do not scatter")

    def seeded() -> Tensor:
        torch.manual_seed(3)
        values: Tensor = subject.circuit(_CASE, shots=n_shots)(subject.angles(_CASE))
        return values.detach()

    expect(torch.equal(seeded(), seeded()), "shots of one seed differ")


def _gradients(subject: Subject, case: Case) -> list[Tensor]:
    """Gradients of two samples, the second with -2 times the cotangent of the first."""
    circuit, angles = subject.circuit(case), subject.angles(case, 2).requires_grad_()
    cotangent = torch.as_tensor(np.outer([1, -2], case.cotangent))
    return gradients(circuit(angles), [angles, circuit.weights], cotangent)


def _expect_values(subject: Subject, case: Case) -> None:
    values = subject.circuit(case)(subject.angles(case))
    expect_close(f"{case}: <Z>", values, reference_values(case), subject.tolerance)


def _expect_refusal(subject: Subject, capability: str, **options: object) -> None:
    try:
        subject.circuit(_CASE, **options)
    except ValueError:
        return
    raise AssertionError(f'{options} is accepted without the capability "{capability}"')


CHECKS = (
    *(shapes, wires, rotations, entanglement, gradient_of_angles, gradient_of_weights),
    *(frozen_inputs, dtypes, double_precision, strided_angles, undeclared_noise, shots),
)
