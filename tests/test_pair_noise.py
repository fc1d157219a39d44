"""Noise of pairs, and readout error that differs between 0 and 1: as data."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

import sqdr

PAULIS = {
    "I": np.eye(2),
    "X": np.array([[0, 1], [1, 0]]),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]),
}
DIRECTED = sqdr.NoiseModel(readout_error=sqdr.ReadoutError(0.01, [0.03, 0.05]))
OF_PAIRS = sqdr.NoiseModel(after_entangler=(sqdr.BitFlip(0.1), sqdr.TwoWireDepolarizing([0.1, 0.2])))


@pytest.mark.parametrize("string", list(itertools.product("IXYZ", repeat=2)), ids="".join)
def test_operators_and_factor(string):
    noise = sqdr.TwoWireDepolarizing(0.3)
    operators = noise.kraus_operators().numpy()
    pauli = np.kron(*(PAULIS[letter] for letter in string))
    found = sum(k @ pauli @ k.conj().T for k in operators)
    np.testing.assert_allclose(found, (1 if string == ("I", "I") else noise.factor) * pauli, atol=1e-12)


def test_operators_of_each_pair_are_complete():
    operators = sqdr.TwoWireDepolarizing([0.0, 0.3, 1.0]).kraus_operators()
    assert operators.shape == (3, 16, 4, 4)
    total = (operators.mH @ operators).sum(1)
    torch.testing.assert_close(total, torch.eye(4).to(total).expand(3, 4, 4))


@pytest.mark.parametrize(
    "noise",
    [
        OF_PAIRS,
        DIRECTED,
        sqdr.NoiseModel((), (sqdr.TwoWireDepolarizing(nn.Parameter(torch.tensor(0.1))),)),
        sqdr.NoiseModel(readout_error=sqdr.ReadoutError(nn.Parameter(torch.tensor(0.1)), 0.2)),
    ],
    ids=["pairs", "directions", "trained pairs", "trained directions"],
)
def test_files_hold_it(noise):
    assert sqdr.NoiseModel.from_dict(noise.to_dict()) == noise
    assert noise != sqdr.NoiseModel()
    assert repr(noise).startswith("NoiseModel(")


def test_in_words():
    assert OF_PAIRS.in_words() == "BitFlip 0.1, TwoWireDepolarizing [0.1, 0.2] after entangling layers"
    assert DIRECTED.in_words() == "readout error 0.01 of 0 and [0.03, 0.05] of 1"


def test_names_in_a_circuit():
    noise = sqdr.NoiseModel(
        (),
        (sqdr.TwoWireDepolarizing(nn.Parameter(torch.tensor([0.1, 0.2]))),),
        sqdr.ReadoutError(nn.Parameter(torch.tensor(0.1)), [0.1, 0.2, 0.3]),
    )
    circuit = sqdr.create_circuit("native", 3, 2, noise=noise)
    assert set(circuit.state_dict()) == {
        "weights",
        "after_entangler_0_TwoWireDepolarizing",
        "readout_error_prob_meas1_prep0",
        "readout_error_prob_meas0_prep1",
    }
    assert circuit.noise == noise


def test_directions_that_are_equal_are_a_plain_readout_error():
    circuits = [
        sqdr.create_circuit("native", 3, 2, noise=sqdr.NoiseModel(readout_error=error))
        for error in (0.1, sqdr.ReadoutError(0.1, 0.1))
    ]
    circuits[1].load_state_dict(circuits[0].state_dict())
    angles = torch.rand(4, 9)
    torch.testing.assert_close(circuits[0](angles), circuits[1](angles))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sqdr.TwoWireDepolarizing(1.5), r"`TwoWireDepolarizing.p` must be .* in \[0, 1\]"),
        (
            lambda: sqdr.TwoWireDepolarizing(sqdr.noise.OnLastWire(0.1)),
            "`TwoWireDepolarizing.p` must be a number or a tensor, one or one for each pair",
        ),
        (
            lambda: sqdr.NoiseModel(after_rotation=(sqdr.TwoWireDepolarizing(0.1),)),
            "`after_rotation` must be a sequence of channels on one wire",
        ),
        (lambda: sqdr.NoiseModel(after_entangler=sqdr.TwoWireDepolarizing(0.1)), "write \\("),
        (lambda: sqdr.ReadoutError(-0.1, 0.1), "`ReadoutError.prob_meas1_prep0` must be"),
        (lambda: sqdr.ReadoutError(0.1, "a"), "`ReadoutError.prob_meas0_prep1` must be"),
        (
            lambda: sqdr.NoiseModel.from_dict({"readout_error": {"prob_meas1_prep0": 0.1}}),
            "`readout_error` must be a probability, or hold prob_meas1_prep0 and prob_meas0_prep1",
        ),
        (
            lambda: sqdr.create_circuit("native", 4, 2, noise=OF_PAIRS),
            "`TwoWireDepolarizing.p` must have one value, or one for each of 3 pairs, but has 2",
        ),
        (
            lambda: sqdr.create_circuit(
                "native",
                13,
                1,
                noise=DIRECTED_ON_ALL,
                observables=[" ".join(f"Z{i}" for i in range(13))],
            ),
            "`observables` must have at most 12 factors each for a ReadoutError",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(sqdr.ArgumentError, match=message):
        make()


DIRECTED_ON_ALL = sqdr.NoiseModel(readout_error=sqdr.ReadoutError(0.01, 0.03))


class OnWires(sqdr.ReuploadCircuit):
    """A backend that knows noise on single wires alone."""

    capabilities = frozenset({"noise"})

    def expectation_values(self, angles, weights):
        return torch.cos(angles[..., 1]) + 0 * weights.sum()


@pytest.mark.parametrize("noise", [OF_PAIRS, DIRECTED], ids=["pairs", "directions"])
def test_a_backend_without_it_refuses_it(noise):
    with pytest.raises(sqdr.ArgumentError, match=r"`noise` must be on single wires .* can: native"):
        OnWires(3, 2, noise=noise)
