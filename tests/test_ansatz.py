"""Members of the family beyond the published circuit: arguments, shapes, and what is refused."""

import pytest
import torch

import sqdr


@pytest.mark.parametrize(
    ("options", "n_features", "n_outputs"),
    [
        ({}, 9, 3),
        ({"encoding": "X"}, 3, 3),
        ({"encoding": "ZXZX", "inputs": "split"}, 24, 3),
        ({"inputs": "split", "scaling": True}, 18, 3),
        ({"observables": ["Z0", "X1 Y2", "Z0 Z1 Z2", "Y1"]}, 9, 4),
    ],
    ids=str,
)
def test_features_and_outputs(options, n_features, n_outputs):
    circuit = sqdr.create_circuit("native", 3, 2, **options)
    assert (circuit.n_features, circuit.n_outputs) == (n_features, n_outputs)
    assert circuit(torch.zeros(5, n_features)).shape == (5, n_outputs)


def test_trained_tensors():
    options = {"rotation": "YX", "scaling": True, "entangler": "ZZ", "entanglement": "full"}
    circuit = sqdr.create_circuit("native", 4, 3, encoding="ZX", **options)
    shapes = {name: tuple(tensor.shape) for name, tensor in circuit.named_parameters()}
    assert shapes == {"weights": (3, 4, 2), "scales": (3, 4, 2), "couplings": (2, 6)}
    assert torch.equal(circuit.scales, torch.ones(3, 4, 2))


def test_the_published_circuit_has_the_parameters_that_it_had():
    circuit = sqdr.create_circuit("native", 4, 3, encoding="ZYZ", observables="Z")
    assert [name for name, _ in circuit.named_parameters()] == ["weights"]
    assert circuit.scales is None
    assert circuit.couplings is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoding": "XQ"}, '`encoding` must be "Rot" or a word of X, Y and Z such as "ZXZ", but is'),
        ({"encoding": ""}, "`encoding` must be .* but is ''"),
        ({"rotation": "rot"}, "`rotation` must be .* but is 'rot'"),
        ({"rotation": 3}, "`rotation` must be .* but is 3"),
        ({"inputs": "once"}, '`inputs` must be "repeat" or "split", but is'),
        ({"scaling": "yes"}, "`scaling` must be True or False, but is 'yes'"),
        ({"entangler": "CX"}, '`entangler` must be "CZ" or "ZZ", but is'),
        ({"entanglement": "all"}, '`entanglement` must be "none", "linear", "circular", "full" or'),
        ({"observables": "Z0"}, "`observables` must be .* but is 'Z0'"),
        ({"observables": []}, "`observables` must be .* but is empty"),
        ({"observables": ["Q0"]}, "`observables` must be .* but holds 'Q0'"),
        ({"observables": ["Z"]}, "`observables` must be .* but holds 'Z'"),
        ({"observables": [0]}, "`observables` must be .* but holds 0"),
        ({"observables": ["Z0 X3"]}, "holds 'Z0 X3', of a wire that is not there"),
        ({"observables": ["Z0 X0"]}, "holds 'Z0 X0', with wire 0 twice"),
    ],
    ids=str,
)
def test_bad_arguments(options, message):
    with pytest.raises(sqdr.ArgumentError, match=message):
        sqdr.create_circuit("native", 3, 2, **options)


def test_too_many_wires_for_every_pair():
    with pytest.raises(sqdr.ArgumentError, match="`n_wires` must be of at most 2,000 for every pair"):
        sqdr.create_circuit("native", 10_000, 2, entanglement="full")


def test_features_that_do_not_fit():
    circuit = sqdr.create_circuit("native", 3, 2, inputs="split")
    with pytest.raises(
        sqdr.ArgumentError, match="must have 18 features for 3 wires in 2 blocks, but has 9"
    ):
        circuit(torch.zeros(9))


class Published(sqdr.ReuploadCircuit):
    """A backend that declares nothing."""

    def expectation_values(self, angles, weights):
        return torch.cos(angles[..., 1]) + 0 * weights.sum()


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"encoding": "X"}, "encoding"),
        ({"rotation": "X"}, "rotation"),
        ({"inputs": "split"}, "inputs"),
        ({"scaling": True}, "scaling"),
        ({"entangler": "ZZ"}, "entangler"),
        ({"observables": "X"}, "observables"),
        ({"observables": ["Z0"]}, "observables"),
    ],
    ids=str,
)
def test_what_a_backend_does_not_declare_is_refused(options, argument):
    Published(3, 1, entanglement="full", encoding="ZYZ", observables=["Z0", "Z1", "Z2"])
    with pytest.raises(sqdr.ArgumentError, match=f"`{argument}` must be .* backends that can: native"):
        Published(3, 1, **options)


@pytest.mark.parametrize(
    ("n_wires", "n_blocks", "options", "method", "left_out"),
    [
        (5, 2, {}, "closed-form", {"causal-cone": "takes", "dense": "takes"}),
        (30, 3, {}, "causal-cone", {"closed-form": "there are 3 blocks", "dense": "takes"}),
        (
            5,
            3,
            {"observables": ["Z0 Z1"]},
            "dense",
            {"causal-cone": "an observable is a product of wires"},
        ),
        (5, 3, {"entanglement": "full"}, "dense", {"causal-cone": "the pairs are no chain or ring"}),
    ],
    ids=str,
)
def test_why_a_method_is_not_taken(n_wires, n_blocks, options, method, left_out):
    circuit = sqdr.create_circuit("native", n_wires, n_blocks, **options)
    assert circuit.method == method
    found = circuit.methods_left_out()
    assert method not in found
    assert {name: found[name].startswith(reason) for name, reason in left_out.items()} == dict.fromkeys(
        left_out, True
    )
