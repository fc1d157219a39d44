"""Backends by name: built-in ones, plugins, and what goes wrong with either."""

import subprocess
import sys
import textwrap

import pytest
import torch

import sqdr
from sqdr.registry import backends_with, load_backend


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

    return install


ZEROS = """
    import torch, sqdr

    class Circuit(sqdr.ReuploadCircuit):
        def expectation_values(self, angles, weights):
            return torch.zeros(len(angles), self.n_wires)
"""


def test_built_in_names():
    assert sqdr.backend_names()[:3] == ("native", "pennylane", "torchquantum")


@pytest.mark.parametrize(
    ("capability", "backends"),
    [
        ("noise", ("native", "pennylane", "torchquantum")),
        ("shots", ("pennylane",)),
        ("float64", ("native", "pennylane")),
    ],
)
def test_backends_with_a_capability(capability, backends):
    assert backends_with(capability) == backends


def test_unknown_name_lists_the_choices():
    with pytest.raises(ValueError, match=r"one of native, pennylane, torchquantum.*, but is 'qiskit'"):
        sqdr.create_circuit("qiskit", 3, 2)


def test_a_plugin_defines_one_method(install):
    install("zeros", "zeros_backend", ZEROS)
    assert "zeros" in sqdr.backend_names()
    assert torch.equal(sqdr.create_circuit("zeros", 3, 2)(torch.ones(2, 9)), torch.zeros(2, 3))
    model = sqdr.SQDR_CNN(2, 1, 10, backend="zeros")
    assert model(torch.rand(2, 1, 8, 8)).shape == (2, 10)


def test_a_plugin_cannot_take_a_built_in_name(install):
    install("native", "impostor_backend", ZEROS)
    assert sqdr.backend_names().count("native") == 1
    assert load_backend("native").__module__ == "sqdr.backends.native"


def test_a_broken_plugin_is_reported_when_used_and_hurts_nobody_else(install):
    install("broken", "broken_backend", "import a_package_that_does_not_exist")
    assert sqdr.create_circuit("native", 2, 2)(torch.zeros(6)).shape == (2,)
    with pytest.raises(ModuleNotFoundError, match="a_package_that_does_not_exist") as raised:
        sqdr.create_circuit("broken", 2, 2)
    assert not isinstance(raised.value, sqdr.MissingPackageError)


def test_a_plugin_of_the_wrong_class(install):
    install("dict", "dict_backend", "Circuit = dict")
    with pytest.raises(TypeError, match=r"`dict` \(dict_backend:Circuit\) must be a subclass of"):
        sqdr.create_circuit("dict", 2, 2)


def run_python(source):
    """Output of a fresh interpreter."""
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.strip()


def test_importing_sqdr_loads_no_optional_package():
    simulators = ["pennylane", "torchquantum"]
    optional = [*simulators, "torchvision", "lightning", "matplotlib", "optuna", "sklearn"]
    printed = run_python(
        f"""
        import sys, sqdr, torch
        sqdr.SQDR_CNN(2, 1, 10)(torch.rand(2, 1, 8, 8)).sum().backward()
        print([name for name in {optional} if name in sys.modules])
        """
    )
    assert printed == "[]"


@pytest.mark.parametrize("package", ["pennylane", "torchquantum"])
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
