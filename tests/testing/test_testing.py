"""The conformance kit: our backends pass it, and each fault fails the check that is meant for it."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import wrong_backends
from cases import BACKENDS

from sqdr.backends.native import NativeCircuit
from sqdr.testing import CHECKS, BackendCheckError, check_backend, family, reference

WRONG = wrong_backends.Wrong.__subclasses__()
OF_THE_FAMILY = [check.__name__ for check in family.CHECKS]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_our_backends_pass(backend, check):
    check_backend(backend, [check])


def test_options_reach_the_backend():
    check_backend("pennylane", ["entanglement"], device="default.mixed")
    with pytest.raises(BackendCheckError, match=r"- entanglement: ArgumentError: Argument `method`"):
        check_backend("native", ["entanglement"], method="causal-cone")


NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")


@pytest.mark.parametrize(
    ("backend", "meant"),
    [
        pytest.param(wrong, wrong.meant, marks=NEEDS_CUDA if wrong.meant == "devices" else ())
        for wrong in WRONG
    ],
)
def test_a_fault_fails_the_check_meant_for_it_and_none_before(backend, meant):
    names = list(CHECKS)
    with pytest.raises(BackendCheckError) as raised:
        check_backend(backend, names[: names.index(meant) + 1])
    assert list(raised.value.failures) == [meant]


def test_every_check_is_meant_for_a_fault():
    assert {wrong.meant for wrong in WRONG} == set(CHECKS)


def test_the_error_names_each_failed_check_and_what_it_wants():
    with pytest.raises(AssertionError) as raised:
        check_backend(wrong_backends.RingForChain, ["shapes", "entanglement", "gradient_of_angles"])
    assert re.fullmatch(
        r"""Backend `RingForChain` fails 2 of 3 checks:
- entanglement: 3wires-2blocks-linear: <Z> is off by up to [\d.]+, where 1e-09 is allowed
    wanted: Between blocks, and not after the last, a CZ acts on each of the pairs asked for\.
- gradient_of_angles: 3wires-2blocks-linear: the gradient by the angles is off by .*
    wanted: <Z> has the exact gradient by the angles, each row of a batch its own\.""",
        str(raised.value),
    )
    assert raised.value.__cause__ is raised.value.failures["entanglement"]


def test_a_check_leaves_settings_and_random_states_as_they_were():
    before = torch.get_default_dtype(), torch.get_rng_state().tolist()
    with pytest.raises(BackendCheckError):
        check_backend(
            wrong_backends.ChangedDefaultDtype, ["initial_weights", "global_settings"], method=None
        )
    assert (torch.get_default_dtype(), torch.get_rng_state().tolist()) == before


class Renamed(NativeCircuit):
    """A right backend that no distribution registers."""


@pytest.mark.parametrize("check", ["entanglement", "initial_weights", "other_backends", "processes"])
def test_a_class_is_checked_where_it_stands(check):
    check_backend(Renamed, [check])


@pytest.mark.parametrize("check", ["pickling", "processes"])
def test_a_class_of_a_function_is_not_sent_away(check):
    class Local(NativeCircuit):
        pass

    check_backend(Local, [check])


def test_a_class_of_the_main_program_is_pickled_and_not_sent_away(monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "Renamed", Renamed, raising=False)
    monkeypatch.setattr(Renamed, "__module__", "__main__")
    check_backend(Renamed, ["pickling", "processes"])


class PublishedInDouble(NativeCircuit):
    """A right backend of the published circuit, without noise."""

    capabilities = frozenset({"float64"})


class PublishedAlone(NativeCircuit):
    """Likewise, in float32 alone."""

    capabilities = frozenset()


@pytest.mark.parametrize("backend", [PublishedInDouble, PublishedAlone])
def test_a_backend_of_the_published_circuit_passes(backend):
    check_backend(backend, [check for check in CHECKS if check != "processes"])


def test_a_class_that_is_no_backend_is_refused():
    with pytest.raises(ValueError, match=r"^Argument `backend` must be a name or .*, but dict is no"):
        check_backend(dict)


def test_an_unknown_check_is_refused():
    with pytest.raises(
        ValueError, match=r"^Argument `checks` must be among double_precision, .* 'speed'"
    ):
        check_backend("native", ["speed"])


def test_checks_of_noise_are_not_made_of_a_backend_without_it():
    check_backend(wrong_backends.UndeclaredNoise, ["channels"])


@pytest.mark.parametrize(
    ("options", "others"),
    [({"device": "lightning.qubit"}, OF_THE_FAMILY), ({"diff_method": "adjoint"}, ["couplings"])],
    ids=["in ours", "in PennyLane's own words"],
)
def test_checks_of_noise_are_not_made_with_options_that_refuse_it(options, others):
    check_backend("pennylane", ["rotations", "channels", *others], **options)


@pytest.mark.parametrize(
    ("missing", "left_out"),
    [
        ({"axes"}, {"encoding_axes", "rotation_axes"}),
        ({"inputs"}, {"split_inputs", "scales"}),
        ({"couplings"}, {"couplings"}),
        (
            {"observables"},
            {
                "observables_of_one_wire",
                "observables_of_several_wires",
                "readout_error_of_words",
            },
        ),
        ({"device-noise"}, {"two_wire_noise", "directed_readout_error"}),
        (
            {"noise"},
            {"two_wire_noise", "directed_readout_error", "readout_error_of_words"},
        ),
        (NativeCircuit.capabilities, set(OF_THE_FAMILY) - {"undeclared_members", "members"}),
    ],
    ids=lambda names: "+".join(sorted(names)) if len(names) == 1 else "",
)
def test_checks_of_what_a_backend_does_not_declare_are_not_made(missing, left_out):
    class Without(NativeCircuit):
        capabilities = NativeCircuit.capabilities - missing

    made = []
    check_backend(Without, OF_THE_FAMILY, progress=lambda check, _: made.append(check))
    assert set(OF_THE_FAMILY) - set(made) == left_out


@pytest.mark.parametrize("method", ["causal-cone", "exact"])
def test_options_that_refuse_more_than_noise_excuse_nothing(method):
    with pytest.raises(
        BackendCheckError, match=r"- order_of_channels: ArgumentError: Argument `method` must"
    ):
        check_backend("native", ["order_of_channels"], method=method)


def test_no_check_at_all_is_refused():
    with pytest.raises(ValueError, match=r"^Argument `checks` must hold a name"):
        check_backend("native", [])


def test_every_check_says_what_it_wants():
    assert all((check.__doc__ or "").splitlines()[0].endswith(".") for check in CHECKS.values())


def test_the_reference_uses_numpy_alone():
    tree = ast.parse(Path(reference.__file__).read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    assert modules == {"collections.abc", "functools", "typing", "numpy", "numpy.typing"}


def test_the_kit_needs_neither_its_import_nor_pytest_nor_another_simulator():
    process = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, sqdr; sqdr.testing.check_backend('native', ['entanglement']);"
            "print([name for name in ('pytest', 'pennylane', 'torchquantum') if name in sys.modules])",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.stdout.strip(), process.stderr) == ("[]", "")
