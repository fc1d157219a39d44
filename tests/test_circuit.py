"""The circuit's face: shapes, dtypes, weights, checks, copies."""

import copy
import math

import numpy as np
import pytest
import torch
from cases import BACKENDS, DUPLICATES
from torch import nn

import sqdr
from sqdr.ansatz import entangled_pairs
from sqdr.backends.native import NativeCircuit
from sqdr.experiment.options import DataOptions, PredictionOptions, RunOptions


def circuit_of(backend="native", n_wires=3, n_blocks=2, **options):
    return sqdr.create_circuit(backend, n_wires, n_blocks, **options)


@pytest.mark.parametrize(
    ("entanglement", "n_wires", "pairs"),
    [
        ("none", 3, ()),
        ("linear", 1, ()),
        ("linear", 4, ((0, 1), (1, 2), (2, 3))),
        ("circular", 1, ()),
        ("circular", 2, ((0, 1),)),
        ("circular", 3, ((0, 1), (1, 2), (2, 0))),
        ([(2, 0), [1, 2]], 3, ((2, 0), (1, 2))),
        ([], 3, ()),
    ],
)
def test_entangled_pairs(entanglement, n_wires, pairs):
    assert entangled_pairs(entanglement, n_wires) == pairs


@pytest.mark.parametrize(
    ("entanglement", "complaint"),
    [
        ("ring", "but is 'ring'"),
        (3, "but is 3"),
        ([(0, 3)], r"but holds \(0, 3\)"),
        ([(0, -1)], r"but holds \(0, -1\)"),
        ([(1, 1)], r"but holds \(1, 1\)"),
        ([(0, 1, 2)], r"but holds \(0, 1, 2\)"),
        ([(0, 1.0)], r"but holds \(0, 1.0\)"),
        ([0, 1], "but holds 0"),
        ([(0, 1), (1, 0)], r"but holds \(1, 0\) twice"),
    ],
    ids=str,
)
def test_bad_entanglement(entanglement, complaint):
    with pytest.raises(ValueError, match=f"^Argument `entanglement` must be .* {complaint}"):
        circuit_of(entanglement=entanglement)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_wires": 0}, "Argument `n_wires` must be an integer of at least 1, but is 0."),
        ({"n_wires": 2.0}, "Argument `n_wires` must be an integer of at least 1, but is 2.0."),
        ({"n_blocks": True}, "Argument `n_blocks` must be an integer of at least 1, but is True."),
        ({"noise": 0.1}, "Argument `noise` must be a NoiseModel or None, but is 0.1."),
        (
            {"init_mode": "zeros"},
            'Argument `init_mode` must be "normal" or "uniform", but is \'zeros\'.',
        ),
        (
            {"init_range": (1, 1)},
            "Argument `init_range` must be a pair (low, high) of angles with low < high, "
            "but is (1, 1).",
        ),
        (
            {"init_range": 3},
            "Argument `init_range` must be a pair (low, high) of angles with low < high, but is 3.",
        ),
        ({"init_range": (0, math.nan)}, "Argument `init_range` must be a finite number, but is nan."),
        (
            {"dtype": torch.float16},
            "Argument `dtype` must be torch.float32 or torch.float64, but is torch.float16.",
        ),
        ({"shots": 0}, "Argument `shots` must be an integer of at least 1, but is 0."),
        (
            {"noise": sqdr.NoiseModel((sqdr.BitFlip([0.1, 0.2]),))},
            "Argument `BitFlip.p` must have one value, or one for each of 3 wires, but has 2.",
        ),
        (
            {"noise": sqdr.NoiseModel(readout_error=[0.1, 0.2])},
            "Argument `readout_error` must have one value, or one for each of 3 wires, but has 2.",
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_refused_at_construction(options, message):
    with pytest.raises(ValueError) as refused:  # noqa: PT011  the whole message is compared
        circuit_of(**options)
    assert str(refused.value) == message


class Noiseless(sqdr.ReuploadCircuit):
    """A backend that can do nothing beyond what every backend must."""

    def expectation_values(self, angles, weights):
        return (angles + weights[0]).sum(-1).cos()


def test_noise_is_refused_with_the_backends_that_can():
    noise = sqdr.NoiseModel((sqdr.BitFlip(0.1),))
    with pytest.raises(
        ValueError, match=r"`noise` must be None .* native, pennylane, torchquantum, qiskit, and "
    ):
        Noiseless(3, 2, noise=noise)


def test_float64_is_refused_with_the_backends_that_can():
    message = (
        "^Argument `dtype` must be torch.float32 for a TorchQuantumCircuit, but is torch.float64; "
        "backends that can: native, pennylane"
    )
    with pytest.raises(ValueError, match=message):
        circuit_of("torchquantum", dtype=torch.float64)


def test_empty_noise_is_no_noise():
    assert Noiseless(3, 2, noise=sqdr.NoiseModel()).noise is None


@pytest.mark.parametrize(
    ("n_wires", "angles", "message"),
    [
        (9, torch.zeros(4, 2, 9), "Argument `angles` must have 27 features for 9 wires, but has 9."),
        (1, torch.zeros(4), "Argument `angles` must have 3 features for 1 wire, but has 4."),
        (9, torch.tensor(0.0), "Argument `angles` must have 27 features for 9 wires, but is a scalar."),
        (
            9,
            torch.zeros(27, dtype=torch.int64),
            "Argument `angles` must be a floating-point tensor, but is torch.int64.",
        ),
        (9, [0.0] * 27, "Argument `angles` must be a floating-point tensor, but is list."),
    ],
    ids=["features", "one wire", "scalar", "integers", "list"],
)
def test_bad_angles(n_wires, angles, message):
    with pytest.raises(ValueError) as refused:  # noqa: PT011  the whole message is compared
        circuit_of(n_wires=n_wires)(angles)
    assert str(refused.value) == message


def test_normal_weights_are_truncated_to_their_range():
    torch.manual_seed(0)
    weights = circuit_of(n_wires=1000, n_blocks=4, init_range=(0, 1.5)).weights
    assert 0 <= weights.min() < 0.01
    assert 1.49 < weights.max() <= 1.5
    mean = (1 - math.exp(-1.125)) / (math.sqrt(math.pi / 2) * math.erf(1.5 / math.sqrt(2)))
    assert weights.mean().item() == pytest.approx(mean, abs=0.02)


def test_uniform_weights_fill_their_range():
    torch.manual_seed(0)
    weights = circuit_of(n_wires=1000, n_blocks=4, init_mode="uniform", init_range=(-1, 3)).weights
    assert -1 <= weights.min() < -0.99
    assert 2.99 < weights.max() <= 3
    assert weights.mean().item() == pytest.approx(1, abs=0.05)


def test_to_backend_keeps_everything_but_the_simulator():
    noise = sqdr.NoiseModel((sqdr.BitFlip(0.1),), readout_error=0.1)
    circuit = circuit_of(n_blocks=3, entanglement=[(2, 0)], noise=noise, dtype=torch.float64).eval()
    circuit.weights.requires_grad_(False)
    moved = circuit.to_backend("pennylane")
    assert moved.pairs == circuit.pairs
    assert moved.noise == noise
    assert moved.weights.dtype == torch.float64
    assert not moved.weights.requires_grad
    assert not moved.training
    assert torch.equal(moved.weights, circuit.weights)
    assert moved.weights.data_ptr() != circuit.weights.data_ptr()


def test_to_backend_keeps_hooks():
    circuit, seen = sqdr.create_circuit("native", 2, 2), []
    circuit.register_forward_pre_hook(lambda *_: seen.append("before"))
    removed = circuit.register_forward_hook(lambda *_: seen.append("after"))
    circuit.register_forward_hook(lambda *_, **__: seen.append("with names"), with_kwargs=True)
    moved = circuit.to_backend("torchquantum")
    removed.remove()
    moved(torch.zeros(1, 6))
    assert seen == ["before", "after", "with names"]


def test_to_backend_leaves_the_random_generator_alone():
    circuit = circuit_of()
    state = torch.get_rng_state()
    circuit.to_backend("torchquantum")
    assert torch.equal(torch.get_rng_state(), state)


def test_to_backend_rounds_where_the_target_knows_no_float64():
    moved = circuit_of(dtype=torch.float64).to_backend("torchquantum")
    assert moved.weights.dtype == torch.float32


def test_repr_says_what_the_circuit_is():
    noise = sqdr.NoiseModel(readout_error=0.1)
    text = repr(circuit_of("pennylane", noise=noise, shots=7))
    assert text.startswith("PennyLaneCircuit(n_wires=3, n_blocks=2, entanglement='linear', noise=")
    assert text.endswith("shots=7)")


class Large(NativeCircuit):
    """It says that a sample takes a gigabyte, or with a gradient two."""

    def bytes_per_sample(self, dtype, device, needs_gradient):  # noqa: ARG002
        return 2**31 if needs_gradient else 2**30


@pytest.mark.parametrize(("is_enabled", "most"), [(True, 2), (False, 4)])
def test_a_backend_that_knows_its_memory_refuses_what_does_not_fit(is_enabled, most, monkeypatch):
    monkeypatch.setattr("sqdr.memory.available_bytes", lambda _: 2**32)
    circuit, angles = Large(3, 2), torch.zeros(5, 9)
    message = (
        f"`angles` must hold at most {most} samples at a time, but 5 need .* the closed-form method"
    )
    with torch.set_grad_enabled(is_enabled), pytest.raises(ValueError, match=message):
        circuit(angles)


def tensor_noise():
    """Strengths of every kind that a circuit keeps."""
    return sqdr.NoiseModel(
        (sqdr.BitFlip(nn.Parameter(torch.tensor([0.1, 0.2, 0.3]))), sqdr.PhaseFlip(0.1)),
        (sqdr.AmplitudeDamping([0.1, 0.2, 0.3]),),
        nn.Parameter(torch.tensor(0.01)),
    )


NAMES = {"weights", "after_rotation_0_BitFlip", "after_entangler_0_AmplitudeDamping", "readout_error"}


@pytest.mark.parametrize("backend", BACKENDS)
def test_tensors_of_the_noise_belong_to_the_circuit(backend):
    noise = tensor_noise()
    circuit = circuit_of(backend, noise=noise)
    assert set(circuit.state_dict()) == NAMES
    assert circuit.after_rotation_0_BitFlip is noise.after_rotation[0].p
    assert set(dict(circuit.named_parameters())) == NAMES - {"after_entangler_0_AmplitudeDamping"}
    assert circuit.noise == noise
    with torch.no_grad():
        noise.after_rotation[0].p.fill_(0.4)
    assert circuit.noise.after_rotation[0].p.tolist() == pytest.approx([0.4] * 3)


@pytest.mark.parametrize("backend", BACKENDS)
@DUPLICATES
def test_copies_have_noise_of_their_own(backend, duplicate):
    circuit, angles = circuit_of(backend, noise=tensor_noise()), torch.linspace(-1, 1, 9)
    expected = circuit(angles)
    copied = duplicate(circuit)
    with torch.no_grad():
        circuit.after_rotation_0_BitFlip.zero_()
        circuit.after_entangler_0_AmplitudeDamping.zero_()
    torch.testing.assert_close(copied(angles), expected)
    assert not torch.allclose(circuit(angles), expected)


@pytest.mark.parametrize("target", BACKENDS)
def test_to_backend_copies_the_noise(target):
    circuit, angles = circuit_of(noise=tensor_noise()), torch.linspace(-1, 1, 9)
    moved = circuit.to_backend(target)
    torch.testing.assert_close(moved(angles), circuit(angles), rtol=0, atol=1e-5)
    assert moved.noise == circuit.noise
    assert moved.readout_error.requires_grad
    assert moved.readout_error is not circuit.readout_error


@pytest.mark.parametrize("backend", BACKENDS)
def test_state_dict_holds_the_strengths(backend):
    circuit, angles = circuit_of(noise=tensor_noise()), torch.linspace(-1, 1, 9)
    noise = sqdr.NoiseModel.from_dict(tensor_noise().to_dict())
    with torch.no_grad():
        circuit.readout_error.fill_(0.2)
    other = circuit_of(backend, noise=noise)
    other.load_state_dict(circuit.state_dict())
    torch.testing.assert_close(other(angles), circuit(angles), rtol=0, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value", [-1e-6, 1.1, math.nan])
def test_a_strength_that_left_its_range_is_reported(backend, value):
    circuit = circuit_of(backend, noise=tensor_noise())
    with torch.no_grad():
        circuit.after_rotation_0_BitFlip[1] = value
    with pytest.raises(ValueError, match=r"^Argument `BitFlip.p` must be a finite number in \[0, 1\]"):
        circuit(torch.zeros(9))


def test_a_plain_tensor_that_requires_a_gradient_gets_one():
    strength = torch.tensor([0.1, 0.2, 0.3], requires_grad=True)
    circuit_of(noise=sqdr.NoiseModel((sqdr.BitFlip(strength),)))(torch.zeros(9)).sum().backward()
    assert strength.grad.abs().min() > 0


DRAWING = pytest.mark.parametrize(
    "options",
    [{"shots": 20}, {"noise": sqdr.NoiseModel.preset("author-code")}],
    ids=["shots", "author-code"],
)


def test_a_circuit_that_draws_nothing_leaves_torch_s_generator_alone():
    circuit = circuit_of(noise=tensor_noise())
    state = torch.get_rng_state()
    circuit(torch.zeros(9))
    assert circuit.generator is None
    assert torch.equal(torch.get_rng_state(), state)


@DRAWING
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_circuit_that_draws_has_the_initial_weights_of_one_that_does_not(backend, options):
    torch.manual_seed(0)
    expected = circuit_of(backend).weights
    torch.manual_seed(0)
    assert torch.equal(circuit_of(backend, **options).weights, expected)


@DRAWING
@pytest.mark.parametrize("backend", BACKENDS)
def test_draws_follow_torch_s_seed_and_differ_between_calls(backend, options):
    angles = torch.linspace(-3, 3, 18).reshape(2, 9)

    def draw():
        torch.manual_seed(3)
        circuit = circuit_of(backend, **options)
        return circuit(angles), circuit(angles)

    (first, second), again = draw(), draw()
    assert not torch.equal(first, second)
    assert torch.equal(torch.stack(again), torch.stack((first, second)))


@DRAWING
@pytest.mark.parametrize("backend", BACKENDS)
@DUPLICATES
def test_copies_draw_what_the_circuit_draws(backend, duplicate, options):
    circuit, angles = circuit_of(backend, **options), torch.linspace(-3, 3, 9)
    circuit(angles)
    copied = duplicate(circuit)
    assert torch.equal(copied(angles), circuit(angles))


def test_each_circuit_draws_for_itself():
    first, second = (circuit_of(shots=1).generator.initial_seed() for _ in range(2))
    assert first != second


def test_the_state_of_the_generator_can_be_restored():
    circuit, angles = circuit_of(shots=20), torch.linspace(-3, 3, 9)
    state = circuit.generator.get_state()
    expected = circuit(angles)
    circuit.generator.set_state(state)
    assert torch.equal(circuit(angles), expected)


@pytest.mark.parametrize("target", BACKENDS)
def test_to_backend_draws_the_same_noise(target):
    circuit = circuit_of(noise=sqdr.NoiseModel.preset("author-code"))
    angles = torch.linspace(-3, 3, 18).reshape(2, 9)
    moved = circuit.to_backend(target)
    torch.testing.assert_close(moved(angles), circuit(angles), rtol=0, atol=1e-5)


@pytest.mark.parametrize("backend", [*BACKENDS, "plugin"])
def test_shots_are_unbiased_with_the_variance_of_a_binomial(backend):
    torch.manual_seed(0)
    shots, repetitions = 25, 200
    circuit = Noiseless(3, 2) if backend == "plugin" else circuit_of(backend)
    angles = torch.linspace(-2, 2, 9).expand(repetitions, -1)
    exact = circuit(angles[0]).detach()
    circuit.shots = shots
    samples = circuit(angles).detach()
    counts = (samples + 1) * shots / 2
    torch.testing.assert_close(counts, counts.round(), rtol=0, atol=1e-4)
    variance = (1 - exact**2) / shots
    assert ((samples.mean(0) - exact).abs() < 4 * (variance / repetitions).sqrt()).all()
    # A sample variance of nearly normal values scatters by sqrt(2 / repetitions), which is 10 %.
    torch.testing.assert_close(samples.var(0), variance, rtol=0.3, atol=0)


@pytest.mark.parametrize("backend", ["native", "torchquantum"])
def test_shots_have_the_gradient_of_the_exact_value(backend):
    circuit, angles = circuit_of(backend, noise=tensor_noise()), torch.linspace(-2, 2, 9)
    inputs = angles.requires_grad_(), *circuit.parameters()
    exact = torch.autograd.grad(circuit(angles).sum(), inputs)
    circuit.shots = 7
    torch.testing.assert_close(torch.autograd.grad(circuit(angles).sum(), inputs), exact)


def test_shots_of_certain_outcomes():
    circuit = circuit_of(shots=5)
    with torch.no_grad():
        circuit.weights.zero_()
    assert circuit(torch.zeros(9)).tolist() == [1, 1, 1]
    assert circuit(torch.full((9,), torch.nan)).isnan().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_shots_keep_the_dtype_of_the_angles(dtype):
    assert circuit_of(shots=5)(torch.zeros(2, 9, dtype=dtype)).dtype == dtype


def test_non_finite_angles_give_nan_and_no_other_row_suffers():
    circuit, angles = circuit_of(), torch.zeros(2, 9)
    angles[0, 4] = torch.inf
    values = circuit(angles)
    assert values[0].isnan().any()
    assert torch.equal(values[1], circuit(angles[1]))


@pytest.mark.parametrize("scale", [1e-12, 1e6])
def test_extreme_angles_stay_in_range(scale):
    torch.manual_seed(0)
    angles = (scale * torch.randn(8, 9)).requires_grad_()
    values = circuit_of(n_blocks=3)(angles)
    values.sum().backward()
    assert values.abs().max() <= 1 + 1e-6
    assert angles.grad.isfinite().all()


class RoundedUp(sqdr.ReuploadCircuit):
    """Expectation values beyond 1 by rounding, in turns at both ends."""

    def expectation_values(self, angles, weights):
        ends = 1 - 2.0 * (torch.arange(self.n_wires) % 2)
        return (angles + weights.sum()).sum(-1) * 0 + (1 + 1e-7) * ends


def test_shots_of_values_that_rounding_took_beyond_one():
    circuit = RoundedUp(4, 1, shots=10)
    assert circuit(torch.zeros(12, dtype=torch.float64)).tolist() == [1, -1, 1, -1]


def test_a_circuit_on_another_backend_draws_its_weights_in_the_same_way():
    circuit = circuit_of(init_mode="uniform", init_range=(1.0, 1.5)).to_backend("native")
    circuit.reset_parameters()
    assert circuit.weights.min() >= 1
    assert circuit.weights.max() <= 1.5
    assert circuit.init_mode == "uniform"


def test_a_backend_without_float64_gets_float32_whatever_the_default():
    circuit = circuit_of(dtype=torch.float32)
    torch.set_default_dtype(torch.float64)
    try:
        assert circuit.to_backend("torchquantum").weights.dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


def test_circuits_on_two_backends_draw_the_same_and_do_not_disturb_each_other():
    circuit = circuit_of(noise=sqdr.NoiseModel.preset("author-code"))
    angles = torch.linspace(-2, 2, 9)
    moved = circuit.to_backend("native")
    drawn = [circuit(angles) for _ in range(3)]
    assert torch.equal(torch.stack([moved(angles) for _ in range(3)]), torch.stack(drawn))


def test_a_trained_strength_may_be_one():
    strength = nn.Parameter(torch.tensor(1.0))
    circuit = circuit_of(noise=sqdr.NoiseModel((sqdr.BitFlip(strength),)))
    exact = circuit_of(noise=sqdr.NoiseModel((sqdr.BitFlip(1.0),)))
    exact.load_state_dict({"weights": circuit.weights})
    angles = torch.linspace(-2, 2, 9)
    torch.testing.assert_close(circuit(angles), exact(angles))


def test_circuits_of_one_noise_model_have_noise_of_their_own():
    noise = sqdr.NoiseModel((sqdr.BitFlip(torch.tensor([0.1, 0.2, 0.3])),), readout_error=[0.1] * 3)
    before = copy.deepcopy(noise)
    first, second = circuit_of(noise=noise), circuit_of(noise=noise)
    others = {name: 0.5 * tensor for name, tensor in second.state_dict().items()}
    first.load_state_dict(others)
    assert second.noise == noise == before
    assert first.noise != before


def test_a_list_of_pairs_may_be_changed_later():
    pairs = [[0, 1]]
    circuit = circuit_of(entanglement=pairs)
    pairs.append([1, 2])
    assert circuit.entanglement == circuit.pairs == ((0, 1),)
    assert circuit.to_backend("native").pairs == ((0, 1),)


@pytest.mark.parametrize(
    "pairs",
    [
        np.array([[0, 2], [2, 1]]),
        [(np.int64(0), np.int64(2)), (2, 1)],
        np.array([[0, 2], [2, 1]], np.uint8),
    ],
    ids=["array", "integers", "bytes"],
)
def test_pairs_of_numpy(pairs):
    circuit = circuit_of(entanglement=pairs)
    assert circuit.pairs == ((0, 2), (2, 1))
    assert all(type(wire) is int for pair in circuit.pairs for wire in pair)


def test_shots_are_checked_when_they_are_changed():
    circuit = circuit_of(shots=5)
    with pytest.raises(ValueError, match=r"^Argument `shots` must be an integer"):
        circuit.shots = 2.5
    assert circuit.shots == 5
    circuit.shots = None
    assert torch.equal(circuit(torch.zeros(9)), circuit(torch.zeros(9)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_empty_batch_has_gradients_of_zero(dtype):
    circuit, angles = circuit_of(), torch.zeros(0, 2, 9, dtype=dtype, requires_grad=True)
    values = circuit(angles)
    assert (values.shape, values.dtype) == ((0, 2, 3), dtype)
    values.sum().backward()
    assert angles.grad.shape == (0, 2, 9)
    assert not circuit.weights.grad.any()


def test_tensors_without_values():
    """On torch's "meta" device, which says what shapes a model has."""
    circuit = circuit_of("native").to("meta")
    values = circuit(torch.zeros(4, 9, device="meta"))
    assert (values.shape, values.device.type) == ((4, 3), "meta")


def test_a_circuit_of_other_gates_does_not_change_its_backend():
    class OtherGates(NativeCircuit):
        def expectation_values(self, angles, weights):
            return super().expectation_values(angles.flip(-1), weights)

    circuit = OtherGates(3, 2)
    with pytest.raises(sqdr.ArgumentError, match=r"^Argument `OtherGates` must compute what Reupload"):
        circuit.to_backend("torchquantum")


def test_a_circuit_of_the_same_gates_changes_its_backend():
    class Renamed(NativeCircuit):
        pass

    circuit = Renamed(3, 2, noise=sqdr.NoiseModel.preset("author-code"), shots=10)
    angles = torch.rand(2, 9)
    moved = circuit.to_backend("native")
    circuit.shots = None
    torch.testing.assert_close(moved(angles), circuit(angles))


def test_values_of_a_wrong_shape_are_reported():
    class Scalar(sqdr.ReuploadCircuit):
        def expectation_values(self, angles, weights):
            return (angles + weights[0]).sum((1, 2))

    with pytest.raises(
        sqdr.ArgumentError,
        match=r"`expectation_values` must return expectation values of shape \(2, 3\)",
    ):
        Scalar(3, 1)(torch.rand(2, 9))


@pytest.mark.parametrize(
    "weights", [torch.zeros(3, 3, 3), torch.zeros(1, 3, 3), torch.zeros(2, 3, 3, dtype=torch.complex64)]
)
def test_weights_that_the_circuit_has_no_place_for(weights):
    circuit = sqdr.create_circuit("native", 3, 2)
    circuit.weights = nn.Parameter(weights)
    with pytest.raises(ValueError, match="Argument `weights` must"):
        circuit(torch.zeros(2, 9))


@pytest.mark.parametrize("n_wires", [np.True_, torch.tensor(True)])
def test_a_truth_value_is_no_number_of_wires(n_wires):
    with pytest.raises(ValueError, match="Argument `n_wires` must be an integer"):
        sqdr.create_circuit("native", n_wires, 2)


def test_a_method_that_is_no_name():
    with pytest.raises(ValueError, match="Argument `method` must be"):
        sqdr.create_circuit("native", 3, 2, method=["dense"])


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((10**9, 2), r"`n_wires` must be smaller, but pairs and observables need 2.00e\+11 bytes"),
        (
            (2, 10**9),
            r"`n_blocks` must be smaller, but weights need 2.40e\+10 bytes, and",
        ),
    ],
    ids=["wires", "blocks"],
)
def test_a_circuit_beyond_the_memory_is_refused_before_it_is_made(sizes, message, monkeypatch):
    monkeypatch.setattr("sqdr.memory.available_bytes", lambda _: 2**34)
    with pytest.raises(sqdr.ArgumentError, match=message):
        sqdr.create_circuit("native", *sizes)


def one_block():
    return sqdr.create_circuit("native", 2, 1)


@pytest.mark.parametrize("value", ["no", 1, None])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("compile", lambda value: sqdr.create_circuit("native", 2, 2, compile=value)),
        ("scaling", lambda value: sqdr.create_circuit("native", 2, 2, scaling=value)),
        ("use_mlp", lambda value: sqdr.SQDR_CNN(2, 1, 2, 2, use_mlp=value)),
        ("use_mlp", lambda value: sqdr.SQDR_CNN.published(2, 1, 2, 2, use_mlp=value)),
        (
            "measure",
            lambda value: sqdr.create_circuit("native", 2, 2).to_openqasm(
                torch.zeros(6), measure=value
            ),
        ),
        ("download", lambda value: DataOptions(download=value)),
        ("tensorboard", lambda value: RunOptions(tensorboard=value)),
        ("invert", lambda value: PredictionOptions("m", invert=value)),
    ],
)
def test_what_is_neither_true_nor_false_is_refused(name, make, value):
    with pytest.raises(sqdr.ArgumentError, match=rf"`{name}` must be True or False, but is {value!r}"):
        make(value)


def test_truth_values_of_numpy():
    assert DataOptions(download=np.True_).download is True
    assert sqdr.create_circuit("native", 2, 2, scaling=np.True_).scales is not None
