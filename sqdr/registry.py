"""Names of backends -> circuit classes, loaded when they are asked for.

The built-in backends and those of other distributions (entry-point group `sqdr.backends`) stand in one
table and go through one loader. A name that is built in cannot be taken by another distribution. A
class is taken wherever a name is: a backend needs no distribution to be used.
"""

import sys
from functools import reduce
from importlib.metadata import EntryPoint, entry_points, packages_distributions, version
from inspect import isabstract
from typing import Any

from sqdr.ansatz import Entanglement
from sqdr.circuit import FAMILY_CAPABILITIES, Backend, Capability, ReuploadCircuit
from sqdr.errors import ArgumentError, BackendError, MissingPackageError
from sqdr.noise import NoiseModel
from sqdr.validation import argument_error

GROUP = "sqdr.backends"

_BUILT_IN = {
    "native": EntryPoint("native", "sqdr.backends.native:NativeCircuit", GROUP),
    "pennylane": EntryPoint("pennylane", "sqdr.backends.pennylane:PennyLaneCircuit", GROUP),
    "torchquantum": EntryPoint("torchquantum", "sqdr.backends.torchquantum:TorchQuantumCircuit", GROUP),
    "qiskit": EntryPoint("qiskit", "sqdr.backends.qiskit:QiskitCircuit", GROUP),
}

#: What their classes declare, to be read without importing a simulator.
_CAPABILITIES: dict[str, frozenset[Capability]] = {
    "native": FAMILY_CAPABILITIES | {"noise", "device-noise", "float64"},
    "pennylane": FAMILY_CAPABILITIES | {"noise", "device-noise", "shots", "float64"},
    "torchquantum": FAMILY_CAPABILITIES | {"noise", "device-noise"},
    "qiskit": FAMILY_CAPABILITIES | {"noise", "device-noise", "shots", "float64"},
}


def backend_names() -> tuple[str, ...]:
    """Names of all registered backends, installed or not: built-in first, then plugins by name."""
    plugins = {plugin.name for plugin in _plugins()}
    return (*_BUILT_IN, *sorted(plugins - _BUILT_IN.keys()))


def load_backend(backend: Backend) -> type[ReuploadCircuit]:
    """The circuit class of a backend's name, or the class itself.

    Raises:
        ValueError: if no backend has this name, or a class is no subclass of `ReuploadCircuit` that can
            be instantiated.
        MissingPackageError: if a package that the backend runs on is not installed.
        BackendError: a ValueError, if a plugin cannot be imported, is not a subclass of
            `ReuploadCircuit` that can be instantiated, or shares its name with another plugin.
    """
    if isinstance(backend, type):
        if fault := _fault_of_class(backend):
            must = "be a name or a subclass of sqdr.ReuploadCircuit that can be instantiated"
            raise argument_error("backend", must, f"{backend.__name__} {fault}")
        return backend
    if isinstance(backend, str) and backend in _BUILT_IN:
        return _load_built_in(backend)
    plugins = [plugin for plugin in _plugins() if plugin.name == backend]
    if not plugins:
        must = f"be one of {', '.join(backend_names())}, or a subclass of sqdr.ReuploadCircuit"
        raise argument_error("backend", must, f"is {backend!r}")
    plugin, *others = plugins
    if others:
        also = " and ".join(f"{other.value}, of {_distribution(other)}" for other in others)
        raise _fault(plugin, f"is registered twice, also as {also}; uninstall all but one")
    return _load_plugin(plugin)


def create_circuit(
    backend: Backend,
    n_wires: int,
    n_blocks: int,
    *,
    entanglement: Entanglement = "linear",
    noise: NoiseModel | None = None,
    **options: Any,
) -> ReuploadCircuit:
    """A re-uploading circuit on a backend.

    Args:
        backend (str or class): one of `backend_names()`, or a subclass of `ReuploadCircuit`.
        n_wires (int): number of wires.
        n_blocks (int): number of re-uploading blocks.
        entanglement (str or sequence of pairs): "none", "linear", "circular", "full" or pairs of wires.
        noise (NoiseModel or None): noise of the circuit.
        **options: further arguments of `ReuploadCircuit` (`encoding`, `rotation`, `inputs`, `scaling`,
            `entangler`, `observables`, `shots`, `init_mode`, `init_range`, `dtype`) and those of the
            backend's own class.

    Raises:
        ValueError: if an argument is out of its domain, or the backend cannot do what is asked for.
        MissingPackageError: if the backend's package is not installed.
        BackendError: a ValueError, if a plugin does not load, or fails when the circuit is made.
    """
    circuit_class = load_backend(backend)
    try:
        return circuit_class(n_wires, n_blocks, entanglement=entanglement, noise=noise, **options)
    except (Exception, SystemExit) as error:
        is_ours = isinstance(backend, type) or backend in _BUILT_IN
        if is_ours or isinstance(error, ArgumentError):  # the caller's own
            raise
        (plugin,) = (plugin for plugin in _plugins() if plugin.name == backend)
        raise _fault(plugin, f"fails when a circuit is made: {_summary(error)}") from error


def backends_with(capability: Capability) -> tuple[str, ...]:
    """Names of the backends that work here and have `capability`; all that are installed are loaded.

    Args:
        capability (str): one that `ReuploadCircuit` describes, such as "noise" or "shots".
    """
    able = []
    for name in backend_names():
        try:
            backend = load_backend(name)
        except Exception:  # a backend that does not load, for whatever reason, is no alternative
            continue
        if capability in backend.capabilities:
            able.append(name)
    return tuple(able)


def built_in_with(capability: Capability) -> tuple[str, ...]:
    """Names of the built-in backends that have `capability`, installed or not; nothing is imported."""
    return tuple(name for name, declared in _CAPABILITIES.items() if capability in declared)


def registered_name(backend: type[ReuploadCircuit]) -> str | None:
    """The name that a class is registered under, if it is; nothing is imported."""
    for table in (_BUILT_IN.values, _plugins):
        for name in sorted(entry.name for entry in table() if _loaded(entry) is backend):
            return name
    return None


def installed_version(name: str) -> str:
    """The distribution that a backend runs on or comes from, as pip names it, and its version."""
    if name not in _BUILT_IN:
        return _distribution(next(plugin for plugin in _plugins() if plugin.name == name))
    distribution = "sqdr" if name == "native" else packages_distributions()[name][0]
    return f"{distribution} {version(distribution)}"


def shadowed_plugins() -> list[tuple[str, str]]:
    """Names and distributions of the plugins that are left out, since their names are built in."""
    return [(p.name, _distribution(p)) for p in _plugins() if p.name in _BUILT_IN]


def _plugins() -> list[EntryPoint]:
    return list(entry_points(group=GROUP))


def _load_built_in(name: str) -> type[ReuploadCircuit]:
    try:
        backend: type[ReuploadCircuit] = _BUILT_IN[name].load()
    except ModuleNotFoundError as error:
        # The simulator itself is missing; one that lacks something else is broken.
        if error.name == name:
            raise MissingPackageError(f"Backend `{name}`", extra=name, package=name) from error
        raise
    return backend


def _load_plugin(plugin: EntryPoint) -> type[ReuploadCircuit]:
    try:
        backend: Any = plugin.load()
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing and "." not in missing and missing != plugin.module.partition(".")[0]:
            wanted, requirement = f"Backend `{plugin.name}`", _project(plugin) or missing
            raise MissingPackageError(wanted, None, missing, requirement) from error
        raise _fault(plugin, f"cannot be imported: {_summary(error)}") from error
    if fault := _fault_of_class(backend):
        raise _fault(plugin, fault)
    loaded: type[ReuploadCircuit] = backend
    return loaded


def _loaded(entry: EntryPoint) -> Any:
    """What an entry point names, if its module has been imported; None otherwise."""
    module: Any = sys.modules.get(entry.module)
    return reduce(lambda found, name: getattr(found, name, None), entry.attr.split("."), module)


def _fault_of_class(backend: Any) -> str | None:
    """Why something is not the class of a backend; None if it is."""
    if not (isinstance(backend, type) and issubclass(backend, ReuploadCircuit)):
        return f"is no subclass of sqdr.ReuploadCircuit but {backend!r}"
    if isabstract(backend):
        return f"does not define {', '.join(sorted(backend.__abstractmethods__))}"
    return None


def _fault(plugin: EntryPoint, fault: str) -> BackendError:
    origin = f"{plugin.value}, of {_distribution(plugin)}"
    return BackendError(f"Backend `{plugin.name}` ({origin}) {fault}.")


def _distribution(plugin: EntryPoint) -> str:
    """Name and version of the distribution that registers a plugin."""
    project = _project(plugin)
    return f"{project} {version(project)}" if project else "an unnamed distribution"


def _project(plugin: EntryPoint) -> str | None:
    """Name of that distribution; what is left of one that was removed may have none."""
    try:
        return plugin.dist.name or None  # type: ignore[union-attr]
    except Exception:  # a missing or broken file of metadata, depending on the version of Python
        return None


def _summary(error: BaseException) -> str:
    """Type of an exception and the first line of its message."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}".rstrip(".: ")
