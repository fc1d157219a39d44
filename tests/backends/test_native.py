"""The native engine: its three methods against density matrices, gradients, choice and refusal."""

import copy
import itertools
import pickle

import numpy as np
import pytest
import torch
from cases import METHODS_OF_ONE_WIRE
from torch import nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

from sqdr import (
    AmplitudeDamping,
    BitFlip,
    Depolarizing,
    Kraus,
    NoiseModel,
    PhaseDamping,
    PhaseFlip,
    TwoWireDepolarizing,
)
from sqdr.backends.native import NativeCircuit, kernels
from sqdr.testing import reference
from sqdr.testing.cases import COHERENT, TWO_OPERATORS

NOISE = NoiseModel(
    after_rotation=(BitFlip(0.02), Depolarizing(0.03), AmplitudeDamping(0.1)),
    after_entangler=(PhaseFlip(0.04), AmplitudeDamping(0.05), PhaseDamping(0.06)),
    readout_error=0.07,
)
NOISES = [pytest.param(None, id="noiseless"), pytest.param(NOISE, id="noisy")]


def make_circuit(n_wires, n_blocks, **options):
    torch.manual_seed(n_wires + 10 * n_blocks)
    return NativeCircuit(n_wires, n_blocks, init_mode="uniform", **{"dtype": torch.float64} | options)


def draw_angles(n_wires, batch=2, dtype=torch.float64):
    generator = torch.Generator().manual_seed(n_wires)
    return 6 * torch.rand(batch, 3 * n_wires, generator=generator, dtype=dtype) - 3


def assert_exact(circuit, atol=1e-10, dtype=None):
    """The values of drawn angles, of the dtype of the weights if none is given, are the reference's."""
    angles = draw_angles(circuit.n_wires)
    noise = circuit.noise or NoiseModel()
    expected = reference.expectation_values(
        angles.numpy(),
        circuit.weights.detach().double().numpy(),
        circuit.pairs,
        after_rotation=named(noise.after_rotation),
        after_entangler=named(noise.after_entangler),
        readout_error=noise.readout_error,
    )
    actual = circuit(angles.to(dtype or circuit.weights.dtype)).detach().double().numpy()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


def named(channels):
    """Channels in the reference's terms: (name, strength)."""
    return [(type(channel).__name__, *vars(channel).values()) for channel in channels]


@pytest.fixture(params=["by kernels", "by torch"])
def evaluation(request):
    """Both ways to values and first gradients."""
    if request.param == "by kernels":
        assert kernels.problem() is None
        yield
    else:
        with kernels.switched_off():
            yield


BOTH = pytest.mark.usefixtures("evaluation")


@BOTH
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(
    ("n_wires", "n_blocks", "entanglement"),
    [
        (2, 2, "linear"),
        (3, 3, "linear"),
        (3, 4, "linear"),
        (5, 3, "linear"),
        (5, 4, "linear"),
        (4, 5, "linear"),
        (6, 3, "linear"),
        (6, 4, "linear"),
        (3, 2, "circular"),
        (5, 3, "circular"),
        (6, 3, "circular"),
    ],
)
def test_causal_cone_is_exact(n_wires, n_blocks, entanglement, noise):
    assert_exact(
        make_circuit(n_wires, n_blocks, entanglement=entanglement, noise=noise, method="causal-cone")
    )


@BOTH
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(
    ("n_wires", "n_blocks", "entanglement"),
    [
        (1, 1, "linear"),
        (1, 3, "linear"),
        (3, 1, "circular"),
        (2, 2, "linear"),
        (2, 2, "circular"),
        (3, 2, "circular"),
        (5, 2, "linear"),
        (5, 2, "circular"),
        (3, 2, "none"),
        (3, 3, "none"),
        (5, 2, [(0, 4), (3, 0), (0, 1)]),
        (4, 2, list(itertools.combinations(range(4), 2))),
    ],
)
def test_closed_form_is_exact(n_wires, n_blocks, entanglement, noise):
    assert_exact(
        make_circuit(n_wires, n_blocks, entanglement=entanglement, noise=noise, method="closed-form")
    )


@BOTH
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(
    ("n_wires", "n_blocks", "entanglement"),
    [
        (1, 2, "linear"),
        (3, 3, "linear"),
        (3, 4, "circular"),
        (3, 3, "none"),
        (4, 3, list(itertools.combinations(range(4), 2))),
        (4, 4, [(2, 0), (1, 2)]),
    ],
)
def test_dense_is_exact(n_wires, n_blocks, entanglement, noise):
    assert_exact(
        make_circuit(n_wires, n_blocks, entanglement=entanglement, noise=noise, method="dense")
    )


@BOTH
@pytest.mark.parametrize("place", ["after_rotation", "after_entangler"])
@pytest.mark.parametrize(
    "channel",
    [BitFlip(0.3), PhaseFlip(0.3), Depolarizing(0.3), AmplitudeDamping(0.3), PhaseDamping(0.3)],
    ids=lambda channel: type(channel).__name__,
)
@pytest.mark.parametrize(("method", "n_blocks"), [("closed-form", 2), ("causal-cone", 3), ("dense", 3)])
def test_each_channel_is_exact_in_each_place(method, n_blocks, channel, place):
    assert_exact(make_circuit(3, n_blocks, noise=NoiseModel(**{place: (channel,)}), method=method))


@BOTH
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(
    ("method", "n_wires", "n_blocks"), [("closed-form", 5, 2), ("causal-cone", 5, 4), ("dense", 4, 3)]
)
def test_float32_is_close(method, n_wires, n_blocks, noise):
    circuit = make_circuit(n_wires, n_blocks, noise=noise, method=method, dtype=torch.float32)
    assert_exact(circuit, atol=1e-5)


GRADIENT_CASES = [
    ("closed-form", 3, 1, "linear"),
    ("closed-form", 3, 2, "linear"),
    ("closed-form", 3, 2, "circular"),
    ("closed-form", 3, 2, [(0, 2)]),
    ("closed-form", 2, 3, "none"),
    ("causal-cone", 3, 2, "linear"),
    ("causal-cone", 2, 3, "linear"),
    ("causal-cone", 5, 3, "circular"),
    ("causal-cone", 2, 4, "linear"),
    ("dense", 2, 3, "linear"),
]


@BOTH
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(("method", "n_wires", "n_blocks", "entanglement"), GRADIENT_CASES)
def test_gradients(method, n_wires, n_blocks, entanglement, noise):
    circuit = make_circuit(n_wires, n_blocks, entanglement=entanglement, noise=noise, method=method)
    angles = draw_angles(n_wires).reshape(-1, n_wires, 3).requires_grad_()
    assert torch.autograd.gradcheck(circuit.expectation_values, (angles, circuit.weights))


@BOTH
@pytest.mark.parametrize(
    ("method", "n_wires", "n_blocks", "entanglement"),
    [case for case in GRADIENT_CASES if case[1] == 2 or case[0] == "closed-form"],
)
def test_second_derivatives(method, n_wires, n_blocks, entanglement):
    circuit = make_circuit(n_wires, n_blocks, entanglement=entanglement, noise=NOISE, method=method)
    angles = draw_angles(n_wires, batch=1).reshape(-1, n_wires, 3).requires_grad_()
    assert torch.autograd.gradgradcheck(circuit.expectation_values, (angles, circuit.weights))


@BOTH
@pytest.mark.parametrize("entanglement", ["linear", "circular", [(0, 2)]])
def test_forward_mode_and_batched_gradients(entanglement):
    circuit = make_circuit(3, 2, entanglement=entanglement, noise=NOISE)
    inputs = draw_angles(3).reshape(-1, 3, 3).requires_grad_(), circuit.weights
    assert torch.autograd.gradcheck(
        circuit.expectation_values, inputs, check_forward_ad=True, check_batched_grad=True
    )


@BOTH
def test_gradients_of_each_sample_by_torch_func():
    circuit, angles = make_circuit(3, 2, noise=NOISE), draw_angles(3)

    def total(weights, sample):
        return torch.func.functional_call(circuit, {"weights": weights}, (sample,)).sum()

    of_samples = torch.func.vmap(torch.func.grad(total), (None, 0))(circuit.weights.detach(), angles)
    expected = [torch.autograd.grad(circuit(sample).sum(), circuit.weights)[0] for sample in angles]
    torch.testing.assert_close(of_samples, torch.stack(expected))


def check_strengths(check, method, n_wires, n_blocks, entanglement):
    """`check` the circuit as a function of every strength of its noise."""
    generator = torch.Generator().manual_seed(0)

    def strengths():
        return nn.Parameter(0.8 * torch.rand(n_wires, generator=generator, dtype=torch.float64) + 0.1)

    channels = [kind(strengths()) for kind in (BitFlip, PhaseFlip, AmplitudeDamping)]
    later = [kind(strengths()) for kind in (Depolarizing, AmplitudeDamping, PhaseDamping)]
    noise = NoiseModel(channels, later, strengths())
    circuit = make_circuit(n_wires, n_blocks, entanglement=entanglement, noise=noise, method=method)
    names, inputs = zip(*circuit.named_parameters(), strict=True)
    angles = draw_angles(n_wires)

    def values(*parameters):
        return functional_call(circuit, dict(zip(names, parameters, strict=True)), (angles,))

    assert check(values, inputs)


@BOTH
@pytest.mark.parametrize(("method", "n_wires", "n_blocks", "entanglement"), GRADIENT_CASES)
def test_gradients_of_strengths(method, n_wires, n_blocks, entanglement):
    check_strengths(torch.autograd.gradcheck, method, n_wires, n_blocks, entanglement)


@BOTH
@pytest.mark.parametrize(
    ("method", "n_wires", "n_blocks", "entanglement"),
    [("closed-form", 2, 2, "linear"), ("causal-cone", 2, 2, "linear"), ("dense", 2, 2, "linear")],
)
def test_second_derivatives_of_strengths(method, n_wires, n_blocks, entanglement):
    check_strengths(torch.autograd.gradgradcheck, method, n_wires, n_blocks, entanglement)


@BOTH
def test_gradient_where_an_expectation_value_is_zero():
    circuit = make_circuit(3, 2)
    angles = torch.zeros(1, 3, 3, dtype=torch.float64)
    with torch.no_grad():
        circuit.weights.zero_()
        circuit.weights[0, :, 1] = torch.pi / 2
    assert torch.autograd.gradcheck(
        circuit.expectation_values, (angles.requires_grad_(), circuit.weights)
    )


@BOTH
@pytest.mark.parametrize("n_blocks", [2, 4])
def test_a_sample_does_not_depend_on_the_others(n_blocks):
    circuit = make_circuit(9, n_blocks, noise=NOISE)
    angles = draw_angles(9, batch=7)
    torch.testing.assert_close(circuit(angles)[3:4], circuit(angles[3:4]), rtol=0, atol=1e-14)


@BOTH
@pytest.mark.parametrize(("n_blocks", "reach"), [(2, 1), (4, 3)])
def test_a_wire_depends_on_its_causal_cone_alone(n_blocks, reach):
    circuit = make_circuit(30, n_blocks, noise=NOISE)
    angles = draw_angles(30, batch=1).requires_grad_()
    circuit(angles)[0, 12].backward()
    depends = angles.grad.reshape(30, 3).abs().sum(-1) > 0
    assert depends.nonzero().flatten().tolist() == list(range(12 - reach, 13 + reach))


@pytest.mark.parametrize(
    ("n_wires", "n_blocks", "entanglement", "noise", "method"),
    [
        (9, 1, "linear", NOISE, "closed-form"),
        (9, 2, "circular", NOISE, "closed-form"),
        (9, 2, [(0, 8), (3, 5)], None, "closed-form"),
        (9, 7, "none", NOISE, "closed-form"),
        (1, 7, "linear", None, "closed-form"),
        (9, 4, "linear", None, "causal-cone"),
        (5, 4, "linear", None, "dense"),
        (11, 5, "linear", None, "causal-cone"),
        (7, 5, "linear", None, "dense"),
        (6, 5, "linear", None, "dense"),
        (3, 3, "linear", NOISE, "causal-cone"),
        (2, 3, "linear", NOISE, "dense"),
        (9, 4, [(i + 1, i) for i in range(8)], None, "causal-cone"),
        (1000, 4, "linear", NOISE, "causal-cone"),
        (9, 5, "circular", NOISE, "causal-cone"),
        (8, 5, "circular", None, "dense"),
        (3, 6, "linear", NOISE, "dense"),
        (6, 3, [(0, 1), (0, 2)], None, "dense"),
    ],
)
def test_the_cheapest_method_is_taken(n_wires, n_blocks, entanglement, noise, method):
    assert make_circuit(n_wires, n_blocks, entanglement=entanglement, noise=noise).method == method


@pytest.mark.parametrize(
    ("n_wires", "n_blocks", "entanglement", "method"),
    [
        (3, 3, "linear", "closed-form"),
        (3, 1, "linear", "causal-cone"),
        (4, 3, "circular", "causal-cone"),
        (4, 3, [(0, 2)], "causal-cone"),
        (3, 3, "linear", "exact"),
    ],
)
def test_a_method_that_cannot_evaluate_the_circuit_is_refused(n_wires, n_blocks, entanglement, method):
    with pytest.raises(ValueError, match=r'Argument `method` must be ".*" for this circuit, but is'):
        NativeCircuit(n_wires, n_blocks, entanglement=entanglement, method=method)


@pytest.mark.parametrize(
    ("n_wires", "n_blocks", "options", "must", "method"),
    [
        (
            40,
            3,
            {"entanglement": list(itertools.combinations(range(40), 2))},
            "`n_wires` must be smaller, or `n_blocks` be smaller (at most 2), or `entanglement` be "
            '"linear" or "circular", but one sample needs ',
            "dense",
        ),
        (
            40,
            3,
            {"method": "dense"},
            "`n_wires` must be smaller, or `n_blocks` be smaller, but one sample needs ",
            "dense",
        ),
        (200, 20, {}, "`n_blocks` must be smaller, but one sample needs ", "causal-cone"),
        (2000, 3, {"method": "dense"}, "`n_wires` must be smaller, or ", "dense"),
    ],
    ids=["pairs", "dense", "causal cone", "beyond any float"],
)
def test_a_circuit_beyond_memory_is_refused(n_wires, n_blocks, options, must, method):
    with pytest.raises(ValueError, match=f"with the {method} method") as refused:
        NativeCircuit(n_wires, n_blocks, noise=NOISE, **options)
    assert str(refused.value).startswith(f"Argument {must}")


@BOTH
@pytest.mark.parametrize("noise", [None, NOISE], ids=["noiseless", "noisy"])
def test_an_evaluated_circuit_is_pickled_as_a_new_one(noise):
    circuit = make_circuit(3, 2, noise=noise)
    before = pickle.dumps(circuit)
    circuit(draw_angles(3))
    assert pickle.dumps(circuit) == before


@pytest.mark.parametrize("compile", [False, True])
def test_a_batch_beyond_memory_is_refused(compile):
    circuit = NativeCircuit(12, 3, method="dense", compile=compile)
    with pytest.raises(ValueError, match=r"`angles` must hold at most .* samples at a time"):
        circuit(torch.zeros(1, 36).expand(10**9, 36))


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(
    ("n_wires", "n_blocks", "entanglement", "method"),
    [
        (6, 1, "linear", "closed-form"),
        (6, 2, "linear", "closed-form"),
        (6, 2, "circular", "closed-form"),
        (6, 2, [(5, i) for i in range(5)], "closed-form"),
        (50, 5, "none", "closed-form"),
        (12, 2, "linear", "causal-cone"),
        (12, 4, "circular", "causal-cone"),
        (6, 3, "linear", "dense"),
        (6, 4, "linear", "dense"),
    ],
)
@BOTH
def test_memory_for_a_gradient_is_estimated_to_a_factor_of_two(
    n_wires, n_blocks, entanglement, method, noise
):
    """Against the bytes of all tensors that autograd keeps."""
    circuit = make_circuit(n_wires, n_blocks, entanglement=entanglement, noise=noise, method=method)
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        circuit(draw_angles(n_wires, batch=64).requires_grad_())
    per_sample = sum(storage.nbytes() for storage in kept.values()) / 64
    assert 0.5 < circuit.bytes_per_sample(torch.float64, torch.device("cpu"), True) / per_sample < 2


MAX, MAX_WITH_GRADIENT = 2**33 // (4 * 2 * 2**12 * 6), 2**33 // (4 * 2 * 2**12 * 36)
#: The state, a half of another, and five numbers for each wire.
MAX_BY_KERNELS = 2**33 // (4 * (3 * 2**12 + 5 * 12))


@pytest.mark.parametrize(
    ("is_enabled", "differentiated", "most"),
    [
        (True, None, MAX),
        (True, "angles", MAX_WITH_GRADIENT),
        (True, "weights", MAX_WITH_GRADIENT),
        (True, "readout_error", MAX_WITH_GRADIENT),
        (False, "weights", MAX),
    ],
)
@pytest.mark.parametrize("compile", [False, True])
def test_fewer_samples_fit_with_a_gradient(compile, is_enabled, differentiated, most, monkeypatch):
    """A state of 2 ** 12 complex numbers at a time, or by operations one for each of the 36 gates."""
    if most == MAX_WITH_GRADIENT and not compile:
        most = MAX_BY_KERNELS
    monkeypatch.setattr("sqdr.memory.available_bytes", lambda _: 2**33)
    noise = NoiseModel(readout_error=nn.Parameter(torch.tensor(0.1)))
    circuit = NativeCircuit(12, 3, method="dense", noise=noise, compile=compile)
    for name, parameter in circuit.named_parameters():
        parameter.requires_grad_(name.endswith(str(differentiated)))
    angles = torch.zeros(1, 36, requires_grad=differentiated == "angles").expand(10**9, 36)
    with (
        torch.set_grad_enabled(is_enabled),
        pytest.raises(ValueError, match=f"must hold at most {most} samples at a time"),
    ):
        circuit(angles)


@BOTH
def test_a_replaced_readout_error():
    trained = NoiseModel(readout_error=nn.Parameter(torch.tensor(0.1, dtype=torch.float64)))
    circuit, angles = make_circuit(3, 2, noise=trained), draw_angles(3)
    replaced = {"readout_error": torch.tensor(0.3, dtype=torch.float64)}
    expected = (1 - 2 * 0.3) * make_circuit(3, 2)(angles)
    torch.testing.assert_close(functional_call(circuit, replaced, (angles,)), expected)


@BOTH
@pytest.mark.parametrize(("method", "n_blocks"), [("closed-form", 2), ("causal-cone", 3), ("dense", 3)])
def test_one_circuit_in_two_precisions(method, n_blocks):
    """What the circuit keeps of its noise in one is not used in the other."""
    circuit = make_circuit(3, n_blocks, noise=NOISE, method=method, dtype=torch.float32)
    assert_exact(circuit, 1e-5)
    assert_exact(circuit, 1e-10, torch.float64)


@pytest.fixture(params=["by-torch", "by-nothing"])
def compiler(request, monkeypatch):
    """`torch.compile`, or none: Python then runs what would be compiled, without delay."""
    if request.param == "by-nothing":
        monkeypatch.setattr(torch, "compile", lambda function: function)


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("n_blocks", [2, 3])
def test_compiled_values_and_gradients(n_blocks):
    circuit = make_circuit(3, n_blocks, noise=NOISE)
    compiled = make_circuit(3, n_blocks, noise=NOISE, compile=True)
    angles, angles_compiled = (draw_angles(3).requires_grad_() for _ in range(2))
    torch.testing.assert_close(compiled(angles_compiled), circuit(angles))
    circuit(angles).square().sum().backward()
    compiled(angles_compiled).square().sum().backward()
    torch.testing.assert_close(angles_compiled.grad, angles.grad)
    torch.testing.assert_close(compiled.weights.grad, circuit.weights.grad)


def test_second_derivatives_of_a_compiled_circuit(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function: function)
    circuit = make_circuit(2, 2, noise=NOISE, compile=True)
    assert torch.autograd.gradgradcheck(circuit, draw_angles(2, batch=1).requires_grad_())


@pytest.mark.usefixtures("compiler")
def test_compiled_with_trained_and_drawn_noise():
    strength = nn.Parameter(torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64))
    noise = NoiseModel((BitFlip(strength), *NoiseModel.preset("author-code").after_rotation))
    circuit, compiled = (make_circuit(3, 2, noise=noise, compile=compile) for compile in (False, True))
    compiled.generator.set_state(circuit.generator.get_state())
    angles = draw_angles(3)
    expected, actual = ([c(angles) for _ in range(2)] for c in (circuit, compiled))
    torch.testing.assert_close(actual, expected)
    assert not torch.equal(*actual)
    gradients = [torch.autograd.grad(of_two[1].sum(), strength)[0] for of_two in (expected, actual)]
    torch.testing.assert_close(*gradients)
    compiled.shots = 10
    counts = 5 * (compiled(angles) + 1)
    torch.testing.assert_close(counts, counts.round())
    with torch.no_grad():
        strength[0] = -0.1
    with pytest.raises(ValueError, match=r"Argument `BitFlip.p` must be"):
        compiled(angles)


@pytest.mark.usefixtures("compiler")
def test_a_compiled_circuit_is_copied_and_pickled():
    circuit = make_circuit(3, 2, compile=True)
    angles = draw_angles(3)
    with torch.no_grad():
        expected = circuit(angles)
    again = pickle.loads(pickle.dumps(copy.deepcopy(circuit)))
    with torch.no_grad():
        torch.testing.assert_close(again(angles), expected)


def test_a_circuit_that_is_compiled_for_many_shapes_and_modes(monkeypatch):
    """PyTorch compiles one function eight times at most; beyond that Python runs it."""
    compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function: compile(function, backend="eager"))
    circuit, compiled = make_circuit(3, 2), make_circuit(3, 2, compile=True)
    shapes = [torch.Size([1 + n % 2] * n + [9]) for n in range(10)]
    angles = [
        torch.linspace(-3, 3, shape.numel(), dtype=torch.float64).reshape(shape) for shape in shapes
    ]
    torch.testing.assert_close([compiled(a) for a in angles], [circuit(a) for a in angles])


@BOTH
@pytest.mark.parametrize(("method", "n_blocks"), [("closed-form", 2), ("causal-cone", 3), ("dense", 3)])
def test_export(method, n_blocks):
    """Also for batches of any size."""
    circuit = make_circuit(3, n_blocks, noise=NOISE, method=method)
    of_any_size = ({0: torch.export.Dim("batch", min=2)},)
    exported = torch.export.export(circuit, (draw_angles(3),), dynamic_shapes=of_any_size).module()
    angles = draw_angles(3, batch=5)
    torch.testing.assert_close(exported(angles), circuit(angles))


@BOTH
def test_tracing_leaves_nothing_in_the_circuit():
    circuit, angles = make_circuit(3, 2, noise=NOISE), draw_angles(3)
    make_fx(circuit, tracing_mode="fake", _allow_non_fake_inputs=True)(angles)
    assert type(circuit(angles)) is torch.Tensor


@pytest.mark.parametrize(("noise", "bytes_per_entry"), [(None, 5), (NOISE, 12)])
def test_tables_take_no_more_memory_than_a_few_states(noise, bytes_per_entry):
    n_wires = 10
    circuit = make_circuit(n_wires, 3, noise=noise, method="dense", dtype=torch.float32)
    entries = 2**n_wires if noise is None else 4**n_wires
    assert sum(table.nbytes for table in circuit.buffers()) <= bytes_per_entry * entries


@BOTH
@pytest.mark.parametrize("method", ["closed-form", "causal-cone", "dense"])
def test_copies(method):
    circuit = make_circuit(3, 2, noise=NOISE, method=method)
    angles = draw_angles(3)
    again = pickle.loads(pickle.dumps(copy.deepcopy(circuit)))
    assert again.method == method
    torch.testing.assert_close(again(angles), circuit(angles), rtol=0, atol=0)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("method", ["closed-form", "causal-cone", "dense"])
def test_state_dict_holds_the_weights_alone(method, noise):
    assert list(make_circuit(3, 2, noise=noise, method=method).state_dict()) == ["weights"]


@BOTH
@pytest.mark.parametrize(("method", "n_blocks"), [("closed-form", 2), ("causal-cone", 3), ("dense", 3)])
def test_conversion_to_float64_loses_nothing(method, n_blocks):
    circuit = make_circuit(3, n_blocks, noise=NOISE, method=method, dtype=torch.float32)
    assert_exact(circuit.double())


@BOTH
@pytest.mark.parametrize(("method", "n_blocks"), [("closed-form", 2), ("causal-cone", 3), ("dense", 3)])
def test_training_after_inference_mode(method, n_blocks):
    circuit = make_circuit(3, n_blocks, noise=NOISE, method=method)
    angles = draw_angles(3)
    with torch.inference_mode():
        circuit(angles)
    circuit(angles).sum().backward()
    assert circuit.weights.grad.abs().sum() > 0


METHODS = [
    ("closed-form", 3, 2, "linear"),
    ("closed-form", 3, 3, "none"),
    ("causal-cone", 4, 3, "linear"),
    ("dense", 3, 3, "linear"),
]


def values_and_gradients(circuit, angles):
    """<Z>, and the gradients of the sum of their squares by angles, weights and strengths."""
    angles = angles.detach().requires_grad_()
    values = circuit(angles)
    gradients = torch.autograd.grad(values.square().sum(), [angles, *circuit.parameters()])
    return [values.detach(), *gradients]


@pytest.fixture
def threads():
    """Sets the number of torch's threads."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(("method", "n_wires", "n_blocks", "entanglement"), METHODS)
@pytest.mark.parametrize("batch", [1, 9])
def test_kernels_and_operations_agree(batch, method, n_wires, n_blocks, entanglement, noise):
    circuit = make_circuit(n_wires, n_blocks, entanglement=entanglement, noise=noise, method=method)
    angles = draw_angles(n_wires, batch)
    found = values_and_gradients(circuit, angles)
    with kernels.switched_off():
        expected = values_and_gradients(circuit, angles)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(("method", "n_wires", "n_blocks", "entanglement"), METHODS)
def test_kernels_do_it(method, n_wires, n_blocks, entanglement, noise, monkeypatch):
    """Operations of torch are not asked, neither for values nor for gradients."""
    circuit = make_circuit(n_wires, n_blocks, entanglement=entanglement, noise=noise, method=method)
    monkeypatch.setattr(circuit._method, "values", None)
    assert all(
        tensor.isfinite().all() for tensor in values_and_gradients(circuit, draw_angles(n_wires))
    )


def assert_kernels_and_operations_agree(circuit, angles, monkeypatch):
    """Where operations of torch are not asked, kernels have the same values and gradients."""
    with kernels.switched_off():
        expected = values_and_gradients(circuit, angles)
    monkeypatch.setattr(circuit._method, "values", None)
    found = values_and_gradients(circuit, angles)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


#: Words of one to three wires, next to each other and not, with neighbours in common and without.
WORDS = ["Z0 Z1", "X1 Y2", "Z3", "X0 Y1 X2", "Y0 X2", "X0 Z3", "Y2"]


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("entangler", ["CZ", "ZZ"])
@pytest.mark.parametrize(("method", "n_blocks"), [("closed-form", 2)])
@pytest.mark.parametrize("entanglement", ["linear", "circular", [(0, 1), (0, 3), (2, 3)]], ids=str)
def test_kernels_of_words(entanglement, method, n_blocks, entangler, noise, monkeypatch):
    options = {"entanglement": entanglement, "entangler": entangler, "observables": WORDS}
    circuit = make_circuit(4, n_blocks, noise=noise, method=method, **options)
    assert_kernels_and_operations_agree(circuit, draw_angles(4, 9), monkeypatch)


@pytest.mark.parametrize("noise", [None, NOISE], ids=["noiseless", "noisy"])
@pytest.mark.parametrize("n_blocks", [1, 3])
@pytest.mark.parametrize("observables", [WORDS, ["Z0", "X1", "Y2", "Z3", "Z0"]], ids=str)
@pytest.mark.parametrize("entanglement", ["linear", "circular", [(0, 1), (0, 3), (2, 3)]], ids=str)
@pytest.mark.parametrize("batch", [1, 19])
def test_dense_kernels_of_words(batch, entanglement, observables, n_blocks, noise, monkeypatch):
    options = {"entanglement": entanglement, "observables": observables}
    circuit = make_circuit(4, n_blocks, noise=noise, method="dense", **options)
    assert_kernels_and_operations_agree(circuit, draw_angles(4, batch), monkeypatch)


@pytest.mark.parametrize("observables", [WORDS, "Z", "X", ["Z0", "X1"]], ids=str)
@pytest.mark.parametrize("entanglement", ["linear", [(0, 1), (0, 3), (2, 3)]], ids=str)
@pytest.mark.parametrize("n_blocks", [2, 4])
@pytest.mark.parametrize("noise", NOISES)
def test_dense_kernels_of_zz(noise, n_blocks, entanglement, observables, monkeypatch):
    """On statevectors, and with noise on Pauli vectors."""
    options = {"entanglement": entanglement, "entangler": "ZZ", "observables": observables}
    circuit = make_circuit(4, n_blocks, noise=noise, method="dense", **options)
    assert_kernels_and_operations_agree(circuit, draw_angles(4, 19), monkeypatch)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("observables", ["Z", ["Z0", "X1", "Y0"]], ids=str)
@pytest.mark.parametrize(
    ("n_wires", "n_blocks", "entanglement"),
    [
        (2, 2, "linear"),
        (2, 3, "linear"),
        (5, 3, "linear"),
        (4, 4, "linear"),
        (3, 2, "circular"),
        (7, 4, "circular"),
        (60, 3, "circular"),  # more than are taken at a time
        (60, 3, "linear"),
    ],
)
def test_kernels_of_zz_in_causal_cones(
    n_wires, n_blocks, entanglement, observables, noise, monkeypatch
):
    options = {"entanglement": entanglement, "entangler": "ZZ", "observables": observables}
    circuit = make_circuit(n_wires, n_blocks, noise=noise, method="causal-cone", **options)
    assert_kernels_and_operations_agree(circuit, draw_angles(n_wires, 11), monkeypatch)


OF_EACH_WIRE = np.stack([TWO_OPERATORS, (*COHERENT, np.zeros((2, 2)))] * 2)
OF_KRAUS = [
    NoiseModel((Kraus(TWO_OPERATORS), AmplitudeDamping(0.1))),
    NoiseModel((BitFlip(0.1),), (Kraus(OF_EACH_WIRE), PhaseFlip(0.05))),
    NoiseModel((Kraus(COHERENT), BitFlip(nn.Parameter(torch.tensor([0.1, 0.2, 0.3, 0.4]).double())))),
]


@pytest.mark.parametrize("noise", OF_KRAUS, ids=["after rotations", "after entanglers", "trained"])
@pytest.mark.parametrize("observables", ["Z", ["Z0", "X1", "Y0"]], ids=str)
@METHODS_OF_ONE_WIRE
def test_kernels_of_any_noise_of_wires(
    method, n_blocks, entanglement, entangler, observables, noise, monkeypatch
):
    options = {"entanglement": entanglement, "entangler": entangler, "observables": observables}
    circuit = make_circuit(4, n_blocks, noise=noise, method=method, **options)
    assert_kernels_and_operations_agree(circuit, draw_angles(4, 11), monkeypatch)


OF_PAIRS = [
    NoiseModel((BitFlip(0.1),), (TwoWireDepolarizing(0.1),)),
    NoiseModel(
        (Kraus(TWO_OPERATORS),),
        (
            AmplitudeDamping([0.1, 0.2, 0.3, 0.0]),
            TwoWireDepolarizing(0.3),
            Kraus(TWO_OPERATORS),
            TwoWireDepolarizing(0.05),
            PhaseDamping(0.1),
        ),
    ),
]


@pytest.mark.parametrize("noise", OF_PAIRS, ids=["alone", "among noise of wires"])
@pytest.mark.parametrize("observables", ["Z", "X", WORDS], ids=str)
@pytest.mark.parametrize("entangler", ["CZ", "ZZ"])
@pytest.mark.parametrize("entanglement", ["linear", [(0, 1), (0, 3), (2, 3)]], ids=str)
@pytest.mark.parametrize("n_blocks", [2, 4])
def test_dense_kernels_of_noise_on_pairs(
    n_blocks, entanglement, entangler, observables, noise, monkeypatch
):
    options = {"entanglement": entanglement, "entangler": entangler, "observables": observables}
    circuit = make_circuit(4, n_blocks, noise=noise, method="dense", **options)
    assert_kernels_and_operations_agree(circuit, draw_angles(4, 11), monkeypatch)


def test_noise_on_pairs_that_is_trained_has_its_gradient():
    strength = nn.Parameter(torch.tensor(0.1).double())
    noise = NoiseModel(after_entangler=(TwoWireDepolarizing(strength),))
    circuit, angles = make_circuit(3, 3, noise=noise), draw_angles(3, 5)
    circuit(angles).sum().backward()
    with torch.no_grad():
        sums = []
        for change in (1e-6, -1e-6):
            strength_now = circuit.get_parameter("after_entangler_0_TwoWireDepolarizing")
            strength_now += change
            sums.append(circuit(angles).sum())
            strength_now -= change
    by_difference = (sums[0] - sums[1]) / 2e-6
    torch.testing.assert_close(strength.grad.squeeze(), by_difference, rtol=1e-6, atol=0)


@pytest.mark.parametrize("options", [{"entangler": "ZZ"}, {"observables": ["Z0 Z1"]}], ids=str)
@pytest.mark.parametrize(("n_wires", "has_kernels"), [(14, True), (15, False)])
def test_large_statevectors_have_no_tables(n_wires, has_kernels, options):
    circuit = make_circuit(n_wires, 3, method="dense", **options)
    assert (circuit._method.kernels() is not None) is has_kernels


@pytest.mark.parametrize("n_wires", [5, 12])
def test_a_statevector_of_one_sample_alone(n_wires):
    circuit = make_circuit(n_wires, 3, entanglement="circular", method="dense")
    angles = draw_angles(n_wires, 2)
    found = values_and_gradients(circuit, angles)
    with kernels.switched_off():
        expected = values_and_gradients(circuit, angles)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


@BOTH
@pytest.mark.parametrize(("method", "n_wires", "n_blocks", "entanglement"), METHODS)
@pytest.mark.parametrize(
    "arranged",
    [
        lambda angles: angles.T.contiguous().T,
        lambda angles: angles.flip(0),
        lambda angles: angles[:1].expand(4, -1),
        lambda angles: torch.stack((angles, angles), -1)[..., 1],
    ],
    ids=["transposed", "flipped", "expanded", "strided"],
)
def test_inputs_of_any_layout(arranged, method, n_wires, n_blocks, entanglement):
    circuit = make_circuit(n_wires, n_blocks, entanglement=entanglement, noise=NOISE, method=method)
    angles = arranged(draw_angles(n_wires, 3))
    torch.testing.assert_close(circuit(angles), circuit(angles.contiguous()), rtol=0, atol=1e-14)


@BOTH
@pytest.mark.parametrize("inputs", ["repeat", "split"])
@pytest.mark.parametrize(("method", "n_wires", "n_blocks", "entanglement"), METHODS)
def test_scales_multiply_the_angles(method, n_wires, n_blocks, entanglement, inputs):
    """Beside a circuit without scales, whose blocks are given the products."""
    noise = NoiseModel(NOISE.after_rotation)  # bits that are read wrongly are not for kernels
    options = {"entanglement": entanglement, "noise": noise, "method": method}
    circuit = make_circuit(n_wires, n_blocks, inputs=inputs, scaling=True, **options)
    plain = make_circuit(n_wires, n_blocks, inputs="split", **options)
    with torch.no_grad():
        circuit.scales.uniform_(-2, 2)
        circuit.weights.copy_(plain.weights)
    # Of every second number in memory.
    angles = draw_angles(2 * circuit.n_features // 3, 9)[:, ::2].requires_grad_()
    products = angles.reshape(9, -1, 3 * n_wires) * circuit.scales.reshape(n_blocks, 3 * n_wires)
    products = products.reshape(9, 3 * n_wires * n_blocks)
    values = plain(products)
    torch.testing.assert_close(circuit(angles), values, rtol=0, atol=1e-12)
    expected = torch.autograd.grad(values.square().sum(), [angles, circuit.scales, plain.weights])
    trained = [angles, circuit.scales, circuit.weights]
    found = torch.autograd.grad(circuit(angles).square().sum(), trained)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("method", "n_wires", "n_blocks", "entanglement"), METHODS)
def test_a_large_batch_on_two_threads(method, n_wires, n_blocks, entanglement, threads):
    circuit = make_circuit(n_wires, n_blocks, entanglement=entanglement, noise=NOISE, method=method)
    few = draw_angles(n_wires, 7)
    angles = few.repeat(14286, 1)[:100_000]
    threads(2)
    values, of_angles, of_weights = values_and_gradients(circuit, angles)
    some = values_and_gradients(circuit, few)
    torch.testing.assert_close(values[-5:], some[0][:5], rtol=0, atol=1e-12)
    torch.testing.assert_close(of_angles[70_000:70_007], some[1], rtol=0, atol=1e-12)
    threads(1)
    torch.testing.assert_close(values_and_gradients(circuit, angles)[2], of_weights)


def test_torch_serves_where_there_are_no_kernels(monkeypatch):
    monkeypatch.setattr("sqdr.compilation.problem", lambda: "Numba cannot be imported: not today")
    assert kernels.problem() == "Numba cannot be imported: not today"
    assert_exact(make_circuit(3, 3, noise=NOISE))
