"""Backends by name: built-in ones, plugins, and what goes wrong with either."""

import importlib
import os
import pickle
import re
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from typing import get_args

import numba
import pytest
import torch
from cases import needs_qiskit

import sqdr
from sqdr import compilation
from sqdr.backends.native import NativeCircuit
from sqdr.circuit import Capability
from sqdr.experiment.cli import main
from sqdr.registry import backends_with, built_in_with, load_backend, registered_name
from sqdr.testing import BackendCheckError


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a distribution, made here, that registers one backend."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(backend, module, source, attribute="Circuit"):
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[sqdr.backends]\n{backend} = {module}:{attribute}\n")
        importlib.invalidate_caches()

    return install


ZEROS = """
    import torch, sqdr

    class Circuit(sqdr.ReuploadCircuit):
        def expectation_values(self, angles, weights):
            return torch.zeros(len(angles), self.n_wires)
"""


def is_installed(name):
    return name != "qiskit" or find_spec(name) is not None


def test_built_in_names():
    assert sqdr.backend_names()[:4] == ("native", "pennylane", "torchquantum", "qiskit")


@pytest.mark.parametrize(
    ("capability", "backends"),
    [
        ("noise", ("native", "pennylane", "torchquantum", "qiskit")),
        ("shots", ("pennylane", "qiskit")),
        ("float64", ("native", "pennylane", "qiskit")),
    ],
)
def test_backends_with_a_capability(capability, backends):
    built_in = [name for name in sqdr.backend_names()[:4] if is_installed(name)]
    able = [name for name in backends_with(capability) if name in built_in]
    assert able == [name for name in backends if name in built_in]


@pytest.mark.parametrize("name", ["native", "pennylane", "torchquantum", needs_qiskit("qiskit")])
def test_the_capabilities_of_the_table_are_those_of_the_classes(name):
    listed = {c for c in get_args(Capability) if name in built_in_with(c)}
    assert listed == load_backend(name).capabilities


class Zeros(sqdr.ReuploadCircuit):
    """A backend that no distribution registers."""

    def expectation_values(self, angles, weights):
        return 0 * (angles + weights[0]).sum(-1)


def test_a_class_is_taken_for_a_name():
    circuit = sqdr.create_circuit(Zeros, 3, 2, entanglement="circular")
    assert (type(circuit), circuit.entanglement) == (Zeros, "circular")
    moved = sqdr.create_circuit("native", 3, 2).to_backend(Zeros)
    assert torch.equal(moved(torch.ones(2, 9)), torch.zeros(2, 3))


@pytest.mark.parametrize(
    ("backend", "fault"),
    [
        (dict, "dict is no subclass of sqdr.ReuploadCircuit"),
        (sqdr.ReuploadCircuit, "ReuploadCircuit does not define expectation_values"),
    ],
)
def test_a_class_that_is_no_backend_is_refused(backend, fault):
    with pytest.raises(sqdr.ArgumentError, match=rf"^Argument `backend` must be a name or .* {fault}"):
        sqdr.create_circuit(backend, 3, 2)


def test_what_a_class_raises_itself_passes_as_it_is():
    class Unlicensed(Zeros):
        def __init__(self, *_, **__):
            raise RuntimeError("no licence")

    with pytest.raises(RuntimeError, match=r"^no licence$"):
        sqdr.create_circuit(Unlicensed, 3, 2)


@pytest.mark.parametrize("capabilities", [{"gpu"}, "noise", ["noise"], None])
def test_capabilities_are_checked_when_the_class_is_made(capabilities):
    message = r"^Argument `Mine.capabilities` must be a set of noise, device-noise, .*, but is "
    with pytest.raises(sqdr.ArgumentError, match=message + re.escape(repr(capabilities))):
        type("Mine", (Zeros,), {"capabilities": capabilities})


def test_a_registered_class_has_its_name(install):
    install("zeros", "named_backend", ZEROS)
    assert registered_name(load_backend("zeros")) == "zeros"
    assert registered_name(load_backend("native")) == "native"
    assert registered_name(Zeros) is None


def test_a_refusal_names_who_can_and_imports_none_of_them():
    printed = run_python(
        """
        import sys, sqdr

        class Noiseless(sqdr.ReuploadCircuit):
            def expectation_values(self, angles, weights):
                return angles.sum(-1)

        try:
            Noiseless(2, 2, noise=sqdr.NoiseModel(readout_error=0.1))
        except ValueError as error:
            print(str(error).partition("; ")[2])
        simulators = "numba", "pennylane", "torchquantum", "qiskit"
        print([name for name in simulators if name in sys.modules])
        """
    )
    able = (
        "backends that can: native, pennylane, torchquantum, qiskit, and sqdr.backends_with('noise')."
    )
    assert printed == f"{able}\n[]"


@pytest.mark.parametrize("name", ["cirq", "", None, 3, ["native"]], ids=str)
def test_unknown_name_lists_the_choices(name):
    choices = "native, pennylane, torchquantum, qiskit.*"
    choices += "or a subclass of sqdr.ReuploadCircuit"
    message = f"^Argument `backend` must be one of {choices}, but is {re.escape(repr(name))}\\.$"
    with pytest.raises(ValueError, match=message):
        sqdr.create_circuit(name, 3, 2)


def test_a_plugin_defines_one_method(install):
    install("zeros", "zeros_backend", ZEROS)
    assert "zeros" in sqdr.backend_names()
    assert torch.equal(sqdr.create_circuit("zeros", 3, 2)(torch.ones(2, 9)), torch.zeros(2, 3))
    model = sqdr.SQDR_CNN(2, 1, 10, backend="zeros")
    assert model(torch.rand(2, 1, 8, 8)).shape == (2, 10)


FAULTS = {
    "missing package": (
        "import no_such_package",
        "needs the package no_such_package: pip install faulty",
    ),
    "missing part of a package": (
        "import numpy.no_such_module",
        r"cannot be imported: ModuleNotFoundError: No module named 'numpy.no_such_module'\.",
    ),
    "fails at import": (
        "raise RuntimeError('first line\\nsecond')",
        r"cannot be imported: RuntimeError: first line\.",
    ),
    "no Python": ("class", r"cannot be imported: SyntaxError: .*\."),
    "exits at import": ("raise SystemExit(3)", r"cannot be imported: SystemExit: 3\."),
    "missing class": ("", "cannot be imported: AttributeError: .* no attribute 'Circuit'"),
    "wrong class": ("Circuit = dict", "is no subclass of sqdr.ReuploadCircuit but <class 'dict'>"),
    "no class": ("Circuit = 3", r"is no subclass of sqdr.ReuploadCircuit but 3\."),
    "abstract class": (
        "import sqdr\nclass Circuit(sqdr.ReuploadCircuit): pass",
        r"does not define expectation_values\.",
    ),
    "unknown capability": (
        f"{ZEROS}\n        capabilities = {{'gpu'}}",
        r"cannot be imported: ArgumentError: .* must be a set of noise, .*, but is {'gpu'}",
    ),
    "capabilities without a set": (
        f"{ZEROS}\n        capabilities = 'noise'",
        r"cannot be imported: ArgumentError: .* must be a set of noise, .*, but is 'noise'",
    ),
    "fails at construction": (
        f"{ZEROS}\n        def __init__(self, *_, **__): raise RuntimeError('no licence')",
        r"fails when a circuit is made: RuntimeError: no licence\.",
    ),
    "exits at construction": (
        f"{ZEROS}\n        def __init__(self, *_, **__): raise SystemExit('no licence')",
        r"fails when a circuit is made: SystemExit: no licence\.",
    ),
}


@pytest.fixture(params=FAULTS.values(), ids=FAULTS)
def faulty(request, install, monkeypatch):
    """Installs a faulty plugin and one without a fault; the message of the faulty one (a pattern)."""
    source, fault = request.param
    install("zeros", "zeros_backend", ZEROS)
    install("faulty", "faulty", source)
    monkeypatch.delitem(sys.modules, "faulty", raising=False)  # of another case
    if fault.startswith("needs"):
        return f"Backend `faulty` {fault}"
    return rf"Backend `faulty` \(faulty:Circuit, of faulty 1\.0\) {fault}"


def test_a_faulty_plugin_is_reported_when_it_is_used(faulty):
    with pytest.raises((sqdr.BackendError, sqdr.MissingPackageError), match=f"^{faulty}"):
        sqdr.create_circuit("faulty", 2, 2)


def test_a_circuit_moved_to_a_faulty_plugin_is_reported_too(faulty):
    with pytest.raises((sqdr.BackendError, sqdr.MissingPackageError), match=f"^{faulty}"):
        sqdr.create_circuit("native", 2, 2).to_backend("faulty")


def test_a_faulty_plugin_disturbs_no_other_backend(faulty, capsys):
    assert sqdr.create_circuit("zeros", 2, 2)(torch.zeros(6)).shape == (2,)
    assert backends_with("noise")[:3] == ("native", "pennylane", "torchquantum")
    assert main(["backends"]) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = {name: rest for name, _, rest in (line.partition(" ") for line in lines)}
    assert listed["zeros"].split() == ["works", "zeros_backend", "1.0"]
    assert listed["native"].split()[:2] == ["works", "sqdr"]
    assert re.match(rf" +(missing|broken) +{faulty}", listed["faulty"])


def test_the_cause_of_a_fault_is_kept(install):
    install("faulty", "faulty_by_division", "1 / 0")
    with pytest.raises(sqdr.BackendError) as raised:
        load_backend("faulty")
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


def test_a_missing_package_of_a_plugin_is_missing_not_broken(install, capsys):
    install("needy", "needy_backend", "import no_such_package")
    main(["backends"])
    assert (
        "needy         missing  Backend `needy` needs the package no_such_package: "
        "pip install needy_backend"
    ) in capsys.readouterr().out.splitlines()


def test_an_argument_that_a_plugin_refuses_is_the_caller_s_fault(install):
    install("zeros", "zeros_backend", ZEROS)
    with pytest.raises(ValueError, match=r"^Argument `noise` must be None for a Circuit") as raised:
        sqdr.create_circuit("zeros", 2, 2, noise=sqdr.NoiseModel(readout_error=0.1))
    assert not isinstance(raised.value, sqdr.BackendError)


def test_a_name_that_two_plugins_register_is_refused_and_names_both(install, capsys):
    install("zeros", "zeros_backend", ZEROS)
    install("zeros", "other_backend", ZEROS)
    message = (
        r"^Backend `zeros` \((zeros|other)_backend:Circuit, of \1_backend 1.0\) is registered twice, "
        r"also as (?!\1)(zeros|other)_backend:Circuit, of \2_backend 1.0; uninstall all but one\."
    )
    with pytest.raises(sqdr.BackendError, match=message):
        sqdr.create_circuit("zeros", 2, 2)
    assert sqdr.backend_names().count("zeros") == 1
    assert main(["backends"]) == 0
    assert "zeros         broken   Backend `zeros` (" in capsys.readouterr().out


def test_a_plugin_cannot_take_a_built_in_name(install, capsys):
    install("native", "impostor_backend", "raise RuntimeError")
    assert sqdr.backend_names().count("native") == 1
    assert load_backend("native") is NativeCircuit
    assert main(["backends"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("native        works    sqdr ") for line in lines) == 1
    ignored = "native        ignored  impostor_backend 1.0 registers this name, which is built in"
    assert ignored in lines


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        (None, f"Kernels for the CPU: compiled by Numba {numba.__version__}"),
        ("No LLVM.", "Kernels for the CPU: none; slower operations of torch serve. No LLVM."),
    ],
)
def test_list_says_whether_there_are_kernels(monkeypatch, capsys, problem, line):
    monkeypatch.setattr(compilation, "problem", lambda: problem)
    assert main(["backends"]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        line,
        "How fast each is on this machine: sqdr bench",
    ]


def test_what_is_left_of_a_removed_plugin_disturbs_nobody(install, tmp_path, capsys):
    install("ruin", "ruin_backend", ZEROS)
    (tmp_path / "ruin_backend.py").unlink()
    (tmp_path / "ruin_backend-1.0.dist-info" / "METADATA").unlink()
    with pytest.raises(
        sqdr.BackendError, match=r"of an unnamed distribution\) cannot be imported: Mod"
    ):
        sqdr.create_circuit("ruin", 2, 2)
    assert main(["backends"]) == 0
    assert "ruin          broken   Backend `ruin` (" in capsys.readouterr().out


def run_python(source):
    """Output of a fresh interpreter."""
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.strip()


def test_importing_sqdr_loads_no_optional_package():
    simulators = ["pennylane", "torchquantum", "qiskit"]
    optional = [*simulators, "torchvision", "lightning", "matplotlib", "optuna", "sklearn"]
    printed = run_python(
        f"""
        import sys, sqdr, torch
        model = sqdr.SQDR_CNN(2, 1, 10)
        print("numba" in sys.modules)  # which the first evaluation may import
        model(torch.rand(2, 1, 8, 8)).sum().backward()
        print([name for name in {optional} if name in sys.modules])
        """
    )
    assert printed == "False\n[]"


def test_a_plugin_is_not_imported_unasked(install, tmp_path, monkeypatch):
    install("loud", "loud_backend", "print('imported')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    printed = run_python(
        """
        import sqdr
        sqdr.create_circuit("native", 2, 2)
        print("loud" in sqdr.backend_names())
        """
    )
    assert printed == "True"


@pytest.mark.parametrize("package", ["pennylane", "torchquantum", "qiskit"])
def test_a_missing_package_is_named_with_the_remedy(package):
    printed = run_python(
        f"""
        import sys, sqdr

        class Hide:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] == {package!r}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

        sys.meta_path.insert(0, Hide())
        assert {package!r} in sqdr.backend_names()
        try:
            sqdr.create_circuit({package!r}, 2, 2)
        except sqdr.MissingPackageError as error:
            print(isinstance(error, ImportError), error)
        """
    )
    assert (
        printed == f"True Backend `{package}` needs the package {package}: "
        f'pip install "sqdr[{package}]"'
    )


def test_a_package_that_fails_inside_is_broken_not_missing(tmp_path, monkeypatch):
    (tmp_path / "pennylane.py").write_text("import something_pennylane_needs")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    printed = run_python(
        """
        import sqdr
        try:
            sqdr.create_circuit("pennylane", 2, 2)
        except ModuleNotFoundError as error:
            print(type(error).__name__, error.name)
        """
    )
    assert printed == "ModuleNotFoundError something_pennylane_needs"


@pytest.mark.parametrize(
    "error",
    [
        sqdr.MissingPackageError("Backend `pennylane`", "pennylane", "pennylane"),
        sqdr.BackendError("Backend `mine` cannot be imported."),
        BackendCheckError("mine", 2, {"entanglement": ValueError("wrong pairs")}),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_pass_from_process_to_process(error):
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))


def test_the_shell_checks_a_backend(install, capsys):
    install("zeros", "checked_backend", ZEROS)
    assert main(["check-backend", "zeros"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["double_precision", "passes"]
    assert "rotations                     FAILS" in lines
    assert any(re.match(r"Backend `zeros` fails \d+ of \d+ checks:", line) for line in lines)
    assert re.match(
        "Left out for what the backend does not declare: channels, .*couplings, ", lines[-1]
    )


def test_the_shell_knows_a_backend_that_is_right(monkeypatch, capsys):
    monkeypatch.setattr("sqdr.testing.CHECKS", {"wires": sqdr.testing.CHECKS["wires"]})
    assert main(["check-backend", "native"]) == 0
    assert capsys.readouterr().out.split() == ["wires", "passes"]


def test_the_shell_refuses_to_check_what_does_not_exist(capsys):
    assert main(["check-backend", "abacus"]) == 2
    assert "error: Argument `backend` must be one of native" in capsys.readouterr().err
