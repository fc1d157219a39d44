"""The circuit on Qiskit's simulators and devices, differentiated by shifts of its gates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import RLock
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sqdr.backends.qiskit.devices import Array, Device, Program, device_of
from sqdr.backends.qiskit.mitigation import extrapolated, factory_of
from sqdr.backends.qiskit.programs import Channels, Layer, circuit_of, misread_probabilities
from sqdr.backends.shifts import RULE_OF_LINEAR, rule_of_damping
from sqdr.circuit import FAMILY_CAPABILITIES, Capability, ReuploadCircuit
from sqdr.gates import angles_of_u3, then, turns_of
from sqdr.noise import (
    AmplitudeDamping,
    BitFlip,
    Depolarizing,
    NoiseModel,
    PhaseDamping,
    PhaseFlip,
    TwoWireDepolarizing,
)
from sqdr.validation import argument_error, check_boolean, check_integer, check_seed

#: Held while Qiskit works.
_QISKIT = RLock()

#: Half a turn around X, Y and Z, as quaternions.
_AXES = torch.eye(4, dtype=torch.float64, device="cpu")[1:]

_LINEAR = (BitFlip, PhaseFlip, Depolarizing, TwoWireDepolarizing)
_DAMPING = (AmplitudeDamping, PhaseDamping)


class QiskitCircuit(ReuploadCircuit):
    """A re-uploading circuit on Qiskit: Aer's simulators, snapshots of devices, and devices.

    The rotations of a wire in a block are one gate. A batch is one job, and so are the circuits of its
    gradient: two for each axis, wire, block and sample, by the parameter-shift rule (Mitarai et al.,
    Physical Review A 98, 032309 (2018)), and likewise for couplings and strengths of noise. Evaluations
    in several threads take turns.

    Args:
        device (str, BackendV2, EstimatorV2, SamplerV2 or None): None, the default, is Aer, exact
            without shots, by statevectors or, with noise, density matrices. Otherwise a snapshot of
            `qiskit_ibm_runtime.fake_provider` or its name, such as "FakeTorino", which Aer simulates
            with the noise of that device, exactly without shots; any other `BackendV2`, which needs
            shots; or a primitive of a provider, to which shots are a precision if it is an estimator. A
            device has noise of its own, and takes no `noise`. Copies of the circuit share it.
        layout (sequence of ints or None): the qubit of the device for each wire. Default: None, as
            Qiskit's transpiler chooses.
        optimization_level (int): of Qiskit's transpiler, 0 to 3. Default: 1.
        invert_readout (bool): whether the readout errors that are known, of `noise` or of the device,
            are inverted: <Z> is divided by 1 - a - b after b - a is taken from it, with the
            probabilities a and b that 0 is read as 1 and 1 as 0, and likewise of each factor of a word.
            Default: False.
        zero_noise (str, factory of mitiq or None): extrapolates values to no noise from those of the
            circuit repeated, forwards and backwards, 1, 3 and 5 times, in one job: "linear" or
            "richardson", or a factory of `mitiq.zne.inference` with odd scale factors
            (Giurgica-Tiron et al., arXiv 2005.10921). On a device; such values are not
            differentiated. Default: None.
        shots (int or None): measurements for each sample and each setting of the axes of measurement.
        seed (int or None): of the transpiler and of the circuit's generator, which shots of simulators
            follow. Default: None, the transpiler has seed 0, and the generator one from torch's.
        See `ReuploadCircuit` for the others.

    Raises:
        ValueError: also if the device has too few qubits.
        JobError: when the circuit is called or differentiated, if a job fails, is cancelled or comes
            back short.
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
        device: Any = None,
        layout: Sequence[int] | None = None,
        optimization_level: int = 1,
        invert_readout: bool = False,
        zero_noise: Any = None,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(n_wires, n_blocks, **options)
        if device is not None and self.noise is not None:
            raise argument_error("noise", "be None on a device, which has its own", "is given")
        if zero_noise is not None and device is None:
            raise argument_error("zero_noise", "be None without a device", f"is {zero_noise!r}")
        self.invert_readout = check_boolean("invert_readout", invert_readout)
        self.zero_noise = None if zero_noise is None else factory_of(zero_noise)
        self.optimization_level = check_integer("optimization_level", optimization_level, 0, 3)
        if layout is not None and not isinstance(layout, Sequence):
            raise argument_error("layout", "be a list of qubits or None", f"is {layout!r}")
        self.layout = None if layout is None else [check_integer("layout", q, 0) for q in layout]
        self.seed = None if seed is None else check_seed("seed", seed)
        if self.seed is not None:
            self._own_generator.manual_seed(self.seed)
        self._given = _Shared(device)
        self._runs_on: Device | None = None
        self._check_shots(self.running_on())
        self.refuse_beyond_memory(1, torch.float64, self.weights.device, needs_gradient=False)

    @property
    def device(self) -> Any:
        """The device that was given."""
        return self._given.device

    @property
    def backend(self) -> Any:
        """The BackendV2 that circuits are transpiled for; None where any circuit is taken."""
        return self.running_on().backend

    def expectation_values(self, angles: Tensor, weights: Tensor) -> Tensor:
        self._check_shots(self.running_on())
        noise = self.realised_noise(angles)
        turns = turns_of(self.ansatz, angles.double(), weights.double())
        strengths = {n: s for n, _, s in noise.named_strengths() if isinstance(s, Tensor)}
        if torch.is_grad_enabled():
            self._refuse_unknown_slopes(noise, strengths)
        differs = any(s.dim() == 3 and s.shape[1] > 1 for s in strengths.values())
        expanded = {name: self._expanded(name, s, len(turns)) for name, s in strengths.items()}
        seeds = 0, 0
        if self.shots is not None:
            drawn = torch.randint(2**31, (2,), generator=self.generator_to_draw_from())
            seeds = int(drawn[0]), int(drawn[1])
        work = _Work(self, noise, tuple(expanded), differs, self.shots, seeds)
        inputs = turns, self.couplings_for(turns), *expanded.values()
        values: Tensor = _OnQiskit.apply(work, *inputs)
        return values.to(angles)

    def _expanded(self, name: str, strength: Tensor, batch: int) -> Tensor:
        """A strength as (n_blocks, batch, wires or pairs), or that of a readout error as (n_wires,)."""
        if name.startswith("readout_error"):
            return strength.expand(self.n_wires)
        of_pairs = name in self._noise.strengths_of_pairs()
        places = len(self.pairs) if of_pairs else self.n_wires
        return strength.expand(self.n_blocks, batch, places)

    def _refuse_unknown_slopes(self, noise: NoiseModel, strengths: Mapping[str, Tensor]) -> None:
        """ValueError if a strength is trained of a channel that is not one of sqdr's own."""
        for name, process in noise.named_processes():
            is_trained = name in strengths and strengths[name].requires_grad
            if is_trained and not isinstance(process, _LINEAR + _DAMPING):
                must = "not be trained on Qiskit, which has no backpropagation"
                raise argument_error(process.argument, must, "is")

    def running_on(self) -> Device:
        """What runs the jobs."""
        if self._runs_on is None:
            of_transpiler = self.layout, self.optimization_level, self.seed or 0
            with _QISKIT:
                self._runs_on = device_of(
                    self.device, self.n_wires, *of_transpiler, self.invert_readout
                )
        return self._runs_on

    def _check_shots(self, device: Device) -> None:
        if self.shots is None and device.needs_shots:
            must = f"be a number on {device.name}, which has no exact values"
            raise argument_error("shots", must, "is None")

    @property
    def method(self) -> str:
        return "statevector" if self.is_pure else "density-matrix"

    def bytes_per_sample(self, dtype: torch.dtype, device: torch.device, needs_gradient: bool) -> int:  # noqa: ARG002
        """Of the state that Aer holds, one at a time; 0 on a device, which knows itself what fits."""
        if self.device is not None:
            return 0
        entries: int = 2**self.n_wires if self.is_pure else 4**self.n_wires
        return 16 * entries

    def refuse_beyond_memory(
        self,
        samples: int,  # noqa: ARG002
        dtype: torch.dtype,
        device: torch.device,  # noqa: ARG002
        needs_gradient: bool,
    ) -> None:
        super().refuse_beyond_memory(1, dtype, torch.device("cpu"), needs_gradient)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_runs_on": None}


class _Shared:
    """A device, which copies of a circuit share."""

    def __init__(self, device: Any) -> None:
        self.device = device

    def __deepcopy__(self, memo: dict[int, Any]) -> _Shared:
        return self


class _OnQiskit(torch.autograd.Function):
    """Expectation values (batch, n_outputs) of turns, couplings and strengths, by one job."""

    @staticmethod
    def forward(ctx: Any, work: _Work, *inputs: Tensor) -> Tensor:
        ctx.work = work
        ctx.save_for_backward(*inputs)
        values: Tensor = work.values(_Inputs.of(work, inputs)).to(inputs[0].device)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        work, inputs = ctx.work, ctx.saved_tensors
        needed = ctx.needs_input_grad[1:]
        found = work.gradients(_Inputs.of(work, inputs), grad.detach().cpu().double(), needed)
        pairs = zip(found, inputs, strict=True)
        return None, *(None if gradient is None else gradient.to(tensor) for gradient, tensor in pairs)


@dataclass(frozen=True)
class _Inputs:
    """What a job is made of, in float64 on the CPU.

    Args:
        turns (Tensor of shape (batch, n_blocks, n_wires, 4)): unit quaternions.
        couplings (Tensor of shape (n_blocks - 1, pairs)): in radians.
        strengths (mapping to Tensors of shape (n_blocks, batch, places) or (n_wires,)): of the noise,
            the latter of readout error.
    """

    turns: Tensor
    couplings: Tensor
    strengths: Mapping[str, Tensor]

    @staticmethod
    def of(work: _Work, tensors: Sequence[Tensor]) -> _Inputs:
        turns, couplings, *strengths = (tensor.detach().cpu().double() for tensor in tensors)
        return _Inputs(turns, couplings, dict(zip(work.names, strengths, strict=True)))

    def of_samples(self, samples: Sequence[int]) -> _Inputs:
        """Those of samples with the same noise; strengths lose the axis of the batch."""
        strengths = {n: s if s.dim() == 1 else s[:, samples[0]] for n, s in self.strengths.items()}
        return _Inputs(self.turns[samples], self.couplings, strengths)


#: A term of a derivative: by which input, at which place, with which coefficient, of which inputs.
_Term = tuple[str, tuple[int, ...], float, _Inputs]


@dataclass(frozen=True)
class _Work:
    """One evaluation and its gradient.

    Args:
        circuit (QiskitCircuit): whose.
        noise (NoiseModel): with strengths of which those named are replaced.
        names (tuple of str): of the strengths that are tensors.
        differs (bool): whether a strength differs between samples.
        shots (int or None): as in `ReuploadCircuit`.
        seeds (pair of ints): of the two jobs.
    """

    circuit: QiskitCircuit
    noise: NoiseModel
    names: tuple[str, ...]
    differs: bool
    shots: int | None
    seeds: tuple[int, int]

    def values(self, inputs: _Inputs) -> Tensor:
        """Expectation values (batch, n_outputs); NaN for samples that are not finite."""
        shape = len(inputs.turns), self.circuit.n_outputs
        values = torch.full(shape, torch.nan, dtype=torch.float64, device="cpu")
        groups = self._groups(inputs)
        found = self._run([inputs.of_samples(group) for group in groups], self.seeds[0])
        for group, of_group in zip(groups, found, strict=True):
            values[group] = of_group
        return values

    def gradients(self, inputs: _Inputs, grad: Tensor, needed: Sequence[bool]) -> list[Tensor | None]:
        """Gradients of the sum of the values with `grad`, of the shapes of the inputs."""
        if self.circuit.zero_noise is not None:
            must = "be None where values are differentiated"
            raise argument_error("zero_noise", must, "extrapolates them")
        shapes = {"turns": (*inputs.turns.shape[1:3], 3), "couplings": tuple(inputs.couplings.shape)}
        for name, strength in inputs.strengths.items():
            shapes[name] = tuple(strength.shape if strength.dim() == 1 else strength[:, 0].shape)
        wanted = [name for name, is_needed in zip(shapes, needed, strict=True) if is_needed]
        groups = self._groups(inputs)
        terms: list[tuple[list[int], _Term]] = []
        for group in groups:
            of_group = inputs.of_samples(group)
            terms += [(group, term) for name in wanted for term in self._terms(name, of_group)]
        found = self._run([changed for _, (*_, changed) in terms], self.seeds[1])
        n = len(inputs.turns)
        slopes = {name: inputs.turns.new_zeros(n, *shapes[name]) for name in wanted}
        index: Any  # samples, and places of the input
        for (group, (name, place, coefficient, _)), values in zip(terms, found, strict=True):
            index = (group, *place)
            slopes[name][index] += coefficient * (values * grad[group]).sum(1)
        lost = sorted(set(range(n)) - {sample for group in groups for sample in group})
        for slope in slopes.values():
            slope[lost] = torch.nan
        if "turns" in slopes:
            # The gate exp(-i t A / 2) V of an axis A has the quaternion q + t / 2 * (A q) + ...
            around = then(inputs.turns.unsqueeze(-2), _AXES)
            slopes["turns"] = 2 * (slopes["turns"].unsqueeze(-1) * around).sum(-2)
        for name in wanted[1:] if "turns" in slopes else wanted:
            is_of_samples = name in inputs.strengths and inputs.strengths[name].dim() > 1
            slopes[name] = slopes[name].transpose(0, 1) if is_of_samples else slopes[name].sum(0)
        return [slopes.get(name) for name in shapes]

    def _groups(self, inputs: _Inputs) -> list[list[int]]:
        """Samples that are finite, those of one noise together."""
        is_finite = inputs.turns.flatten(1).isfinite().all(1) & inputs.couplings.isfinite().all()
        finite = is_finite.nonzero().flatten().tolist()
        if self.differs:
            return [[sample] for sample in finite]
        return [finite] if finite else []

    def _terms(self, name: str, inputs: _Inputs) -> Iterator[_Term]:
        """The terms of the derivatives by one of the inputs."""
        if name == "turns":
            turns = inputs.turns
            around = then(turns.unsqueeze(-2), _AXES)  # each half a turn further
            for block, wire, axis in np.ndindex(*turns.shape[1:3], 3):
                for sign in (1, -1):  # a quarter further, and a quarter back
                    changed = turns.clone()
                    moved = turns[:, block, wire] + sign * around[:, block, wire, axis]
                    changed[:, block, wire] = moved / 2**0.5
                    yield name, (block, wire, axis), sign / 2, replace(inputs, turns=changed)
        elif name == "couplings":
            for place in np.ndindex(*inputs.couplings.shape):
                for sign in (1, -1):
                    changed = inputs.couplings.clone()
                    changed[place] += sign * torch.pi / 2
                    yield name, place, sign / 2, replace(inputs, couplings=changed)
        else:
            strength = inputs.strengths[name]
            last = self.circuit.n_blocks - 1
            for place in np.ndindex(*strength.shape):
                if name.startswith("after_entangler") and place[0] == last:  # where none is
                    continue
                for coefficient, value in self._rule(name, strength[place].item()):
                    changed = strength.clone()
                    changed[place] = value
                    strengths = {**inputs.strengths, name: changed}
                    yield name, place, coefficient, replace(inputs, strengths=strengths)

    def _rule(self, name: str, strength: float) -> list[tuple[float, float]]:
        """(coefficient, strength) of the values that the derivative by a strength is a sum of."""
        process = dict(self.noise.named_processes()).get(name)
        return rule_of_damping(strength) if isinstance(process, _DAMPING) else RULE_OF_LINEAR

    def _run(self, parts: Sequence[_Inputs], seed: int) -> list[Tensor]:
        """Values (samples, n_outputs) of each, by one job, with a program for each noise."""
        if not parts:
            return []
        of_noise: dict[tuple[bytes, ...], list[int]] = {}
        for index, part in enumerate(parts):
            key = tuple(strength.numpy().tobytes() for strength in part.strengths.values())
            of_noise.setdefault(key, []).append(index)
        ansatz, channels = self.circuit.ansatz, Channels()
        with _QISKIT:
            device, factory = self.circuit.running_on(), self.circuit.zero_noise
            layer = Layer(ansatz, device.entangler(ansatz))
            programs = []
            for indices in of_noise.values():
                noise = self.noise.with_strengths(parts[indices[0]].strengths)
                rows = np.concatenate([_rows(parts[index], layer) for index in indices])
                misread = misread_probabilities(noise, ansatz.n_wires)
                programs.append(Program(circuit_of(ansatz, noise, channels, layer), rows, misread))
            run = device.run if factory is None else partial(extrapolated, factory, device)
            results = run(programs, ansatz.observables, self.shots, seed)
        found: dict[int, Tensor] = {}
        for indices, values in zip(of_noise.values(), results, strict=True):
            ends = np.cumsum([len(parts[index].turns) for index in indices])[:-1]
            each = [torch.from_numpy(rows) for rows in np.split(values, ends)]
            found |= dict(zip(indices, each, strict=True))
        return [found[index] for index in range(len(parts))]


def _rows(inputs: _Inputs, layer: Layer) -> Array:
    """Values of the parameters of `circuit_of`, a row for each sample."""
    turns = angles_of_u3(layer.joined(inputs.turns)).flatten(1)
    couplings = inputs.couplings.flatten().expand(len(turns), -1)
    rows: Array = torch.cat((turns, couplings), dim=1).numpy()
    return rows
