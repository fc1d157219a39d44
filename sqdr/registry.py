"""Names of backends -> circuit classes, loaded when they are asked for.

The built-in backends and those of other distributions (entry-point group `sqdr.backends`) stand in one
table and go through one loader. A name that is built in cannot be taken by another distribution.
"""

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points, packages_distributions
from typing import Any

from sqdr.circuit import Capability, Entanglement, ReuploadCircuit
from sqdr.noise import NoiseModel
from sqdr.validation import argument_error

GROUP = "sqdr.backends"

_BUILT_IN = {
    "native": EntryPoint("native", "sqdr.backends.native:NativeCircuit", GROUP),
    "pennylane": EntryPoint("pennylane", "sqdr.backends.pennylane:PennyLaneCircuit", GROUP),
    "torchquantum": EntryPoint("torchquantum", "sqdr.backends.torchquantum:TorchQuantumCircuit", GROUP),
}


class MissingPackageError(ImportError):
    """A package that an optional part of sqdr needs is not installed; the message has the command."""

    def __init__(self, wanted: str, extra: str, package: str) -> None:
        super().__init__(
            f'{wanted} needs the package {package}: pip install "sqdr[{extra}]"', name=package
        )


def backend_names() -> tuple[str, ...]:
    """Names of all registered backends, installed or not: built-in first, then plugins by name."""
    return tuple(_entry_points())


def load_backend(name: str) -> type[ReuploadCircuit]:
    """The circuit class of backend `name`.

    Raises:
        ValueError: if no backend has this name.
        MissingPackageError: if the package that a built-in backend runs on is not installed.
        TypeError: if a plugin registers something that is not a subclass of `ReuploadCircuit`.
    """
    table = _entry_points()
    if name not in table:
        raise argument_error("backend", f"be one of {', '.join(table)}", f"is {name!r}")
    try:
        backend = table[name].load()
    except ModuleNotFoundError as error:
        # The backend's package itself is missing; one that lacks something else is broken.
        if name in _BUILT_IN and error.name == name:
            raise MissingPackageError(f"Backend `{name}`", extra=name, package=name) from error
        raise
    if not (isinstance(backend, type) and issubclass(backend, ReuploadCircuit)):
        raise TypeError(
            f"Backend `{name}` ({table[name].value}) must be a subclass of "
            f"sqdr.ReuploadCircuit, but is {backend!r}."
        )
    return backend


def create_circuit(
    backend: str,
    n_wires: int,
    n_blocks: int,
    *,
    entanglement: Entanglement = "linear",
    noise: NoiseModel | None = None,
    **options: Any,
) -> ReuploadCircuit:
    """A re-uploading circuit on the backend of this name.

    Args:
        backend (str): one of `backend_names()`.
        n_wires (int): number of wires.
        n_blocks (int): number of re-uploading blocks.
        entanglement (str or sequence of pairs): "none", "linear", "circular" or pairs of wires.
        noise (NoiseModel or None): noise of the circuit.
        **options: further arguments of `ReuploadCircuit` (`shots`, `init_mode`, `init_range`,
            `dtype`) and those of the backend's own class.

    Raises:
        ValueError: if an argument is out of its domain, or the backend cannot do what is asked for.
        MissingPackageError: if the backend's package is not installed.
    """
    circuit_class = load_backend(backend)
    return circuit_class(n_wires, n_blocks, entanglement=entanglement, noise=noise, **options)


def backends_with(capability: Capability) -> tuple[str, ...]:
    """Names of the backends that work here and have `capability`."""
    able = []
    for name in backend_names():
        try:
            backend = load_backend(name)
        except Exception:  # a backend that does not load, for whatever reason, is no alternative
            continue
        if capability in backend.capabilities:
            able.append(name)
    return tuple(able)


def _entry_points() -> dict[str, EntryPoint]:
    """Every registered backend by name."""
    plugins: Iterable[EntryPoint] = sorted(entry_points(group=GROUP), key=lambda plugin: plugin.name)
    return _BUILT_IN | {plugin.name: plugin for plugin in plugins if plugin.name not in _BUILT_IN}


def distribution(name: str) -> str:
    """The distribution (as pip names it) that an installed backend runs on or comes from."""
    entry_point = _entry_points()[name]
    if entry_point.dist is not None:
        return entry_point.dist.name
    return "sqdr" if name == "native" else packages_distributions()[name][0]
