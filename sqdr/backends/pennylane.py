"""The reference: the circuit gate by gate on PennyLane's devices, simulated or real."""

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from functools import reduce
from operator import matmul
from threading import RLock
from typing import Any, ClassVar

import pennylane as qml
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

from sqdr.ansatz import PauliWord
from sqdr.backends.shifts import rule_of_damping
from sqdr.backends.words import axes_of_measurement, measured_together
from sqdr.circuit import FAMILY_CAPABILITIES, Capability, ReuploadCircuit
from sqdr.noise import (
    AmplitudeDamping,
    BitFlip,
    Depolarizing,
    NoiseModel,
    NoiseProcess,
    PhaseDamping,
    PhaseFlip,
    ReadoutError,
    TwoWireDepolarizing,
)
from sqdr.validation import argument_error, check_integer

_OPERATIONS: dict[type[NoiseProcess], Any] = {
    BitFlip: qml.BitFlip,
    PhaseFlip: qml.PhaseFlip,
    Depolarizing: qml.DepolarizingChannel,
    AmplitudeDamping: qml.AmplitudeDamping,
    PhaseDamping: qml.PhaseDamping,
}

_PAULIS = {"X": qml.PauliX, "Y": qml.PauliY, "Z": qml.PauliZ}

#: Of the eigenvalues 1 and -1 of each Pauli.
_EIGENVECTORS = {
    "X": torch.tensor([[1, 1], [1, -1]], dtype=torch.complex128, device="cpu") / math.sqrt(2),
    "Y": torch.tensor([[1, 1j], [1, -1j]], dtype=torch.complex128, device="cpu") / math.sqrt(2),
    "Z": torch.eye(2, dtype=torch.complex128, device="cpu"),
}

#: What flips a bit that is read in the basis of an axis.
_FLIPS = {"X": qml.PhaseFlip, "Y": qml.BitFlip, "Z": qml.BitFlip}

#: Bytes that the density matrices of one chunk may take, all intermediate ones of backpropagation
#: included.
_CHUNK_BYTES = 2**31

#: Held while PennyLane works: it queues the gates of all threads in one place; devices have a state.
_PENNYLANE = RLock()


class PennyLaneCircuit(ReuploadCircuit):
    """A re-uploading circuit on a PennyLane device.

    Evaluations in several threads take turns.

    Args:
        device (str or None): name of any PennyLane device. Default: "default.qubit" without noise and
            "default.mixed" with it. Noise needs "default.mixed".
        diff_method (str): how PennyLane differentiates. Default: "best", PennyLane's own choice.
        shots (int or None): measurements of the device for each sample, of all observables at once that
            one setting of the axes of measurement serves; PennyLane then differentiates by the
            parameter-shift rule. They follow the circuit's own generator
            where the device takes a seed. Default: None, exact.
        chunk_size (int or None): samples evaluated at a time where PennyLane broadcasts, which is on
            "default.qubit" and "default.mixed" without shots, by backpropagation, unless the noise
            differs between samples. Default: with noise as many as fit in 2 GiB, otherwise all. Where
            there are several chunks, each is evaluated again in the backward pass instead of being
            kept in memory.
        See `ReuploadCircuit` for the others.
    """

    capabilities: ClassVar[frozenset[Capability]] = FAMILY_CAPABILITIES | {
        "noise",
        "device-noise",
        "shots",
        "float64",
    }

    def __init__(
        self,
        n_wires: int,
        n_blocks: int,
        *,
        device: str | None = None,
        diff_method: str = "best",
        chunk_size: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(n_wires, n_blocks, **options)
        is_noisy = self.noise is not None
        if is_noisy and device not in (None, "default.mixed"):
            raise argument_error("device", 'be "default.mixed" with noise', f"is {device!r}")
        self.device_name = device or ("default.mixed" if is_noisy else "default.qubit")
        self.diff_method = diff_method
        self.chunk_size = None if chunk_size is None else check_integer("chunk_size", chunk_size, 1)
        self._takes_seed = _takes_seed(self.device_name)
        self._qnode: Any = self._new_qnode(None)

    def expectation_values(self, angles: Tensor, weights: Tensor) -> Tensor:
        if self._qnode is None or self._qnode.shots or self.shots is not None:
            with _PENNYLANE:
                self._qnode = self._new_qnode(self._seed())
        noise = self.realised_noise(angles)
        couplings, samples = self.couplings_for(angles), angles.movedim(-3, 0)
        if not self._broadcasts or _differs_between_samples(noise):
            values = [
                self._of_one_sample(row, weights, couplings, _of_sample(noise, sample))
                for sample, row in enumerate(samples)
            ]
            return torch.stack(values)
        noise = _of_sample(noise, 0)
        chunks = torch.split(samples, self._samples_in_chunk(len(samples)))
        inputs = weights, couplings, noise
        if len(chunks) > 1 and torch.is_grad_enabled():
            values = [checkpoint(self._evaluate, c, *inputs, use_reentrant=False) for c in chunks]
        else:
            values = [self._evaluate(chunk, *inputs) for chunk in chunks]
        return torch.cat(values)

    def _evaluate(
        self, angles: Tensor, weights: Tensor, couplings: Tensor, noise: NoiseModel
    ) -> Tensor:
        """Values (..., n_outputs) of angles with one leading axis or none.

        The axes of the angles are (n_wires, letters), or (n_blocks, n_wires, letters) where they differ
        between blocks. The strengths of `noise` broadcast to (n_blocks, n_wires).
        """
        found: dict[int, Tensor] = {}
        with _PENNYLANE, nullcontext() if self._broadcasts else _PythonFloatsAsDoubles():
            for outputs in self._settings:
                values = self._qnode(angles, weights, couplings, noise, outputs)
                found |= dict(zip(outputs, values, strict=True))
        n_axes = 3 if self.ansatz.differs_between_blocks else 2
        of_sample = [found[output].expand(angles.shape[:-n_axes]) for output in range(self.n_outputs)]
        return torch.stack(of_sample, dim=-1).to(angles.dtype)

    def _of_one_sample(
        self, angles: Tensor, weights: Tensor, couplings: Tensor, noise: NoiseModel
    ) -> Tensor:
        """Values (n_outputs,) of the angles of a sample, as in `_evaluate`."""
        if not angles.isfinite().all():  # of which a device may make anything
            return (math.nan * (angles.sum() + weights.sum() + couplings.sum())).expand(self.n_outputs)
        if self._broadcasts or not torch.is_grad_enabled():
            return self._evaluate(angles, weights, couplings, noise)
        tensors = {n: s for n, _, s in noise.named_strengths() if isinstance(s, Tensor)}

        def evaluate(angles: Tensor, weights: Tensor, couplings: Tensor, *strengths: Tensor) -> Tensor:
            realised = noise.with_strengths(dict(zip(tensors, strengths, strict=True)))
            return self._evaluate(angles, weights, couplings, realised)

        inputs = angles, weights, couplings, *tensors.values()
        values: Tensor = _OnDevice.apply(evaluate, *inputs)
        return values

    @property
    def _broadcasts(self) -> bool:
        """Whether a batch is evaluated, and differentiated, in one execution.

        PennyLane 0.45 does not differentiate a batch by parameter shifts or finite differences.
        """
        return (
            self.device_name in ("default.qubit", "default.mixed")
            and self.diff_method in ("best", "backprop")
            and self.shots is None
        )

    def _circuit(
        self,
        angles: Tensor,
        weights: Tensor,
        couplings: Tensor,
        noise: NoiseModel,
        outputs: Sequence[int],
    ) -> list[Any]:
        ansatz = self.ansatz
        words = [ansatz.observables[output] for output in outputs]
        if angles.is_cuda and self.device_name == "default.qubit":
            # PennyLane 0.45 begins on the CPU, where batched rotations of one axis do not meet it.
            ground = torch.zeros(2**self.n_wires, dtype=angles.dtype.to_complex(), device=angles.device)
            ground[0] = 1
            qml.StatePrep(ground, wires=range(self.n_wires), validate_norm=False)
        for block in range(self.n_blocks):
            of_block = angles[..., block, :, :] if ansatz.differs_between_blocks else angles
            for wire in range(self.n_wires):
                _rotate(ansatz.encoding, of_block[..., wire, :], wire)
                _rotate(ansatz.rotation, weights[block, wire], wire)
                self._add(noise.after_rotation, block, wire)
            if block < self.n_blocks - 1:
                for place, pair in enumerate(self.pairs):
                    if ansatz.entangler == "CZ":
                        qml.CZ(wires=pair)
                    else:
                        # As devices do it; `qml.IsingZZ` would be rounded where it is simulated so.
                        qml.CNOT(wires=pair)
                        RZ(couplings[block, place], wires=pair[1])
                        qml.CNOT(wires=pair)
                for process in noise.after_entangler:
                    if isinstance(process, TwoWireDepolarizing):
                        for place, pair in enumerate(self.pairs):
                            strength = self._at(process.strength, block, place, len(self.pairs))
                            self._add_by_operators(process, strength, place, pair)
                    else:
                        for wire in range(self.n_wires):
                            self._add([process], block, wire)
        if noise.has_readout_error:
            for wire, letter in axes_of_measurement(words).items():
                self._misread(noise.readout_error, wire, letter)
        return [qml.expval(_product(word)) for word in words]

    @property
    def _settings(self) -> list[list[int]]:
        """Outputs measured together: all, or with readout error those that agree on their axes."""
        words = self.ansatz.observables
        return measured_together(words) if self._noise.has_readout_error else [[*range(len(words))]]

    def _misread(self, error: Any, wire: int, letter: str) -> None:
        """Readout error of a wire that is measured in the basis of an axis."""
        if not isinstance(error, ReadoutError):
            _FLIPS[letter](self._at(error, 0, wire, self.n_wires), wires=wire)
            return
        a, b = (
            torch.as_tensor(self._at(each, 0, wire, self.n_wires), dtype=torch.float64)
            for each in (error.prob_meas1_prep0, error.prob_meas0_prep1)
        )
        zero, one = _EIGENVECTORS[letter].to(a.device)
        roots = (1 - a).sqrt(), a.sqrt(), b.sqrt(), (1 - b).sqrt()
        moves = (zero, zero), (one, zero), (zero, one), (one, one)
        operators = [
            root * torch.outer(to, of.conj()) for root, (to, of) in zip(roots, moves, strict=True)
        ]
        self._refuse_trained(torch.stack(operators), "readout_error")
        _ByOperators(*operators, wires=wire)

    def _add(self, channels: Iterable[NoiseProcess], block: int, wire: int) -> None:
        for channel in channels:
            strength = self._at(channel.strength, block, wire, self.n_wires)
            if type(channel) not in _OPERATIONS:
                self._add_by_operators(channel, strength, wire, wire)
                continue
            operation = _OPERATIONS[type(channel)](strength, wires=wire)
            if operation.grad_method == "F":
                operation.grad_method = "A"
                operation.grad_recipe = _recipe_of_damping(strength)

    def _add_by_operators(self, process: NoiseProcess, strength: Any, place: int, wires: Any) -> None:
        """Noise on a wire or pair that PennyLane has no name for."""
        here = process if strength is None else process.with_strength(strength)
        operators = here.operators_on(place)
        self._refuse_trained(operators, process.argument)
        _ByOperators(*operators, wires=wires)

    def _refuse_trained(self, operators: Tensor, argument: str) -> None:
        if operators.requires_grad and not self._broadcasts:
            must = "not be trained without backpropagation, which a device with shots has not"
            raise argument_error(argument, must, "is")

    def _at(self, strength: Any, block: int, place: int, n_places: int) -> Any:
        """A strength on one wire or pair: a float, a tensor without axes, or none."""
        if not isinstance(strength, Tensor):
            return strength
        return strength.expand(self.n_blocks, n_places)[block, place]

    def _new_qnode(self, seed: int | None) -> Any:
        options = {"seed": seed} if self._takes_seed else {}
        device = qml.device(self.device_name, wires=self.n_wires, **options)
        return qml.QNode(
            self._circuit, device, interface="torch", diff_method=self.diff_method, shots=self.shots
        )

    def _seed(self) -> int | None:
        """Of a device that measures: a number from the circuit's generator."""
        if self.shots is None or not self._takes_seed:
            return None
        return int(torch.randint(2**31, (), generator=self.generator_to_draw_from()))

    def _samples_in_chunk(self, batch: int) -> int:
        if self.chunk_size is not None:
            return self.chunk_size
        noise = self.noise
        if noise is None:
            return batch
        words = self.ansatz.encoding, self.ansatz.rotation
        n_turns = sum(1 if axes == "ZYZ" else len(axes) for axes in words)
        n_gates = self.n_blocks * self.n_wires * (n_turns + 1 + len(noise.after_rotation))
        bytes_per_sample: int = 16 * 4**self.n_wires * n_gates
        return max(1, _CHUNK_BYTES // bytes_per_sample)

    def __getstate__(self) -> dict[str, Any]:
        # A QNode holds a device and cannot be copied or pickled; the copy makes its own.
        return self.__dict__ | {"_qnode": None}


def _rotate(axes: str, angles: Tensor, wire: int) -> None:
    """Rotations of a wire by angles (..., letters) around the axes of a word."""
    if axes == "ZYZ":
        qml.Rot(*angles.unbind(-1), wires=wire)
        return
    for axis, angle in zip(axes, angles.unbind(-1), strict=True):
        _ROTATIONS[axis](angle, wires=wire)


def _product(word: PauliWord) -> Any:
    """A Pauli word as PennyLane's observable."""
    return reduce(matmul, (_PAULIS[letter](wire) for wire, letter in word))


class RZ(qml.RZ):  # type: ignore[misc]
    """`qml.RZ` with eigenvalues as precise as its angle; PennyLane 0.45 rounds those of one tensor."""

    @staticmethod
    def compute_eigvals(theta: Any) -> Any:
        if isinstance(theta, Tensor) and theta.dim() == 0:
            return qml.RZ.compute_eigvals(theta.reshape(1))[0]
        return qml.RZ.compute_eigvals(theta)


_ROTATIONS = {"X": qml.RX, "Y": qml.RY, "Z": RZ}


class _ByOperators(qml.QubitChannel):  # type: ignore[misc]
    """`qml.QubitChannel` of operators that may have a gradient, which its own check cannot have.

    PennyLane makes it anew of its operators one by one, as arrays, where it does not backpropagate.
    """

    def __init__(self, *operators: Any, wires: Any) -> None:
        qml.operation.Channel.__init__(self, *operators, wires=wires)
        self.name = "QubitChannel"  # which devices know


class _PythonFloatsAsDoubles(TorchFunctionMode):
    """Makes float64 tensors of Python's floats, which are what lightning.qubit gives PennyLane.

    PennyLane would round them to torch's default dtype.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options = kwargs or {}
        if func is torch.as_tensor and args and isinstance(args[0], float):
            options = {"dtype": torch.float64} | options
        return func(*args, **options)


class _OnDevice(torch.autograd.Function):
    """A function of tensors that PennyLane differentiates on the device, for one thread at a time."""

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        ctx.inputs = [tensor.detach().requires_grad_(tensor.requires_grad) for tensor in inputs]
        with torch.enable_grad():
            ctx.values = function(*ctx.inputs)
        values: Tensor = ctx.values.detach()
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        differentiated = [tensor for tensor in ctx.inputs if tensor.requires_grad]
        with _PENNYLANE:
            gradients = torch.autograd.grad(
                ctx.values, differentiated, grad, retain_graph=True, allow_unused=True
            )
        each = iter(gradients)
        return None, *(next(each) if tensor.requires_grad else None for tensor in ctx.inputs)


def _takes_seed(device_name: str) -> bool:
    """Whether a device draws from a seed; without one, PennyLane takes NumPy's global generator."""
    known = qml.plugin_devices
    if device_name not in known:  # `qml.device` reports it
        return False
    return "seed" in inspect.signature(known[device_name].load()).parameters


def _differs_between_samples(noise: NoiseModel) -> bool:
    """Whether a strength depends on the sample; PennyLane takes no batch of strengths."""
    strengths = (strength for _, _, strength in noise.named_strengths())
    return any(isinstance(s, Tensor) and s.dim() == 3 and s.shape[1] > 1 for s in strengths)


def _of_sample(noise: NoiseModel, sample: int) -> NoiseModel:
    """The noise of one sample, where strengths broadcast to (n_blocks, n_wires)."""
    strengths = {
        name: strength[:, min(sample, strength.shape[1] - 1)]
        for name, _, strength in noise.named_strengths()
        if isinstance(strength, Tensor) and strength.dim() == 3
    }
    return noise.with_strengths(strengths)


def _recipe_of_damping(gamma: Any) -> tuple[list[list[float]]]:
    """The rule in PennyLane's form: for its one parameter, (coefficient, 0, strength) of each value."""
    rule = rule_of_damping(float(gamma.detach() if isinstance(gamma, Tensor) else gamma))
    return ([[coefficient, 0, strength] for coefficient, strength in rule],)
