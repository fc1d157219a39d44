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

from sqdr.testing import CHECKS, BackendCheckError, check_backend, reference

WRONG = {kind.__name__: kind.meant for kind in wrong_backends.Wrong.__subclasses__()}


@pytest.fixture
def register(tmp_path, monkeypatch):
    """Registers every class of `wrong_backends` under its name."""
    monkeypatch.syspath_prepend(tmp_path)
    info = tmp_path / "wrong_backends-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wrong-backends\nVersion: 1.0\n")
    lines = [f"{name} = wrong_backends:{name}" for name in WRONG]
    (info / "entry_points.txt").write_text("\n".join(["[sqdr.backends]", *lines]))


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_our_backends_pass(backend, check):
    check_backend(backend, [check])


def test_options_reach_the_backend():
    check_backend("pennylane", ["entanglement"], device="default.mixed")
    with pytest.raises(BackendCheckError, match=r"- entanglement: ValueError: Argument `method` must"):
        check_backend("native", ["entanglement"], method="causal-cone")


NEEDS_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")


@pytest.mark.usefixtures("register")
@pytest.mark.parametrize(
    ("backend", "meant"),
    [
        pytest.param(name, meant, marks=NEEDS_CUDA if meant == "devices" else ())
        for name, meant in WRONG.items()
    ],
)
def test_a_fault_fails_the_check_meant_for_it_and_none_before(backend, meant):
    names = list(CHECKS)
    with pytest.raises(BackendCheckError) as raised:
        check_backend(backend, names[: names.index(meant) + 1])
    assert list(raised.value.failures) == [meant]


def test_every_check_is_meant_for_a_fault():
    assert set(WRONG.values()) == set(CHECKS)


@pytest.mark.usefixtures("register")
def test_the_error_names_each_failed_check_and_what_it_wants():
    with pytest.raises(AssertionError) as raised:
        check_backend("RingForChain", ["shapes", "entanglement", "gradient_of_angles"])
    assert re.fullmatch(
        r"""Backend `RingForChain` fails 2 of 3 checks:
- entanglement: 3wires-2blocks-linear: <Z> is off by up to [\d.]+, where 1e-09 is allowed
    wanted: Between blocks, and not after the last, a CZ acts on each of the pairs asked for\.
- gradient_of_angles: 3wires-2blocks-linear: the gradient by the angles is off by .*
    wanted: <Z> has the exact gradient by the angles, each row of a batch its own\.""",
        str(raised.value),
    )
    assert raised.value.__cause__ is raised.value.failures["entanglement"]


@pytest.mark.usefixtures("register")
def test_a_check_leaves_settings_and_random_states_as_they_were():
    before = torch.get_default_dtype(), torch.get_rng_state().tolist()
    with pytest.raises(BackendCheckError):
        check_backend("ChangedDefaultDtype", ["initial_weights", "global_settings"], method=None)
    assert (torch.get_default_dtype(), torch.get_rng_state().tolist()) == before


def test_an_unknown_check_is_refused():
    with pytest.raises(
        ValueError, match=r"^Argument `checks` must be among double_precision, .* 'speed'"
    ):
        check_backend("native", ["speed"])


@pytest.mark.usefixtures("register")
def test_checks_of_noise_are_not_made_of_a_backend_without_it():
    check_backend("UndeclaredNoise", ["channels"])


def test_checks_of_noise_are_not_made_with_options_that_refuse_it():
    check_backend("pennylane", ["rotations", "channels"], device="lightning.qubit")


@pytest.mark.parametrize("method", ["causal-cone", "exact"])
def test_options_that_refuse_more_than_noise_excuse_nothing(method):
    with pytest.raises(
        BackendCheckError, match=r"- order_of_channels: ValueError: Argument `method` must"
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
