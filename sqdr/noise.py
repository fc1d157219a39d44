"""Noise as data: one-qubit channels, how strong they are, and where in the circuit they act."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from sqdr.validation import argument_error, check_number

Number = float | Tensor


class Strength(ABC):
    """The strength of a channel where it depends on the circuit or on its data.

    A subclass is a frozen dataclass with one field or none.
    """

    @abstractmethod
    def realise(self, angles: Tensor, n_blocks: int, generator: torch.Generator) -> Tensor:
        """The strength in one evaluation of a circuit.

        Args:
            angles (Tensor of shape (batch, n_wires, 3)): of the data, in radians.
            n_blocks (int): number of blocks.
            generator (torch.Generator): the circuit's own, on the CPU.

        Returns:
            Tensor that broadcasts to (n_blocks, batch, n_wires): probabilities, those after a CZ layer
            in the place of the block before it.
        """


@dataclass(frozen=True)
class OnLastWire(Strength):
    """A probability on the last wire, and none on the others."""

    value: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", check_number("OnLastWire.value", self.value, 0, 1))

    def realise(self, angles: Tensor, n_blocks: int, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        strength = angles.new_zeros(angles.shape[1])
        strength[-1] = self.value
        return strength


@dataclass(frozen=True)
class SigmoidOfDrawnAngle(Strength):
    """The sigmoid of one of the wire's three angles, drawn anew for each block, sample and wire."""

    def realise(self, angles: Tensor, n_blocks: int, generator: torch.Generator) -> Tensor:
        drawn = torch.randint(3, (n_blocks, *angles.shape[:2], 1), generator=generator)
        repeated = angles.expand(n_blocks, *angles.shape)
        return torch.sigmoid(repeated.gather(-1, drawn.to(angles.device)).squeeze(-1))


class BlochMap(NamedTuple):
    """What a channel does to a Bloch vector: (x, y, z) -> (scale * (x, y, z)) + (0, 0, shift_z).

    Every channel of this module has this form, and so has every sequence of them. The numbers are
    floats, or tensors of the shape of the strength.
    """

    scale_x: Number = 1.0
    scale_y: Number = 1.0
    scale_z: Number = 1.0
    shift_z: Number = 0.0

    def then(self, later: BlochMap) -> BlochMap:
        """The map that applies `self` first and `later` second."""
        return BlochMap(
            later.scale_x * self.scale_x,
            later.scale_y * self.scale_y,
            later.scale_z * self.scale_z,
            later.scale_z * self.shift_z + later.shift_z,
        )

    def in_block(self, block: int) -> BlochMap:
        """The map in one block: tensors of shape (n_blocks or 1, ...) lose their first axis."""
        return BlochMap(*(n[min(block, len(n) - 1)] if isinstance(n, Tensor) else n for n in self))


@dataclass(frozen=True, eq=False, repr=False)
class Channel(ABC):
    """A one-qubit noise channel with a single strength, a probability in [0, 1].

    The strength is one of

    - a number;
    - a sequence of numbers or a Tensor of shape (n_wires,), one for each wire, which the circuit keeps
      as a buffer;
    - an `nn.Parameter` of one value or of shape (n_wires,), which the circuit trains. Keep it in
      [0, 1], for instance by `p.clamp_(0, 1)` after each step: a circuit refuses to be evaluated
      beyond;
    - a `Strength`, which depends on the circuit.

    Raises:
        ValueError: if the strength is not finite and in [0, 1], or has more than one axis.
    """

    _field: ClassVar[str] = "p"

    def __post_init__(self) -> None:
        if not isinstance(self.strength, Strength):
            object.__setattr__(self, self._field, _probability(self.argument, self.strength))

    @abstractmethod
    def bloch_map(self) -> BlochMap:
        """The channel as a map of Bloch vectors; its numbers have the shape of the strength."""

    @abstractmethod
    def _kraus_entries(self, kept: Tensor, changed: Tensor) -> Sequence[Sequence[Any]]:
        """Entries 00, 01, 10, 11 of each operator, from the roots of 1 - strength and of strength."""

    @property
    def strength(self) -> Number | Strength:
        """The value of the channel's only field."""
        return cast("Number | Strength", getattr(self, self._field))

    @property
    def argument(self) -> str:
        """Name of the strength in messages, for instance "BitFlip.p"."""
        return f"{type(self).__name__}.{self._field}"

    def kraus_operators(self) -> Tensor:
        """Kraus operators K of the channel, which takes rho to the sum of K rho K^dagger.

        They have no gradient at strengths 0 and 1, where the slope of their square roots is infinite;
        `bloch_map` has one.

        Returns:
            complex Tensor of shape (k, 2, 2), or (*strength.shape, k, 2, 2); complex128 for a number.
        """
        strength = self._number
        if not isinstance(strength, Tensor):
            strength = torch.tensor(strength, dtype=torch.float64)
        operators = self._kraus_entries((1 - strength).sqrt(), strength.sqrt())
        entries = [entry for operator in operators for entry in operator]
        return torch.unflatten(stack(entries, strength.to(strength.dtype.to_complex())), -1, (-1, 2, 2))

    def with_strength(self, strength: Number | Strength) -> Channel:
        """This channel with another strength, which is not checked."""
        channel = object.__new__(type(self))
        object.__setattr__(channel, self._field, strength)
        return channel

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Channel):
            return NotImplemented
        return type(self) is type(other) and _plain(self.strength) == _plain(other.strength)

    def __hash__(self) -> int:
        # Not of a tensor's values, which may change.
        return hash((type(self), None if isinstance(self.strength, Tensor) else self.strength))

    def __repr__(self) -> str:
        return f"{self.argument.replace('.', '(')}={_shown(self.strength)})"

    @property
    def _number(self) -> Number:
        if isinstance(self.strength, Strength):
            but = f"is {self.strength!r}; see `ReuploadCircuit.realised_noise`"
            raise argument_error(self.argument, "be a number or a tensor here", but)
        return self.strength


@dataclass(frozen=True, eq=False, repr=False)
class BitFlip(Channel):
    """Pauli X with probability `p`; `qml.BitFlip`."""

    p: Number | Sequence[float] | Strength

    def bloch_map(self) -> BlochMap:
        scale = 1 - 2 * self._number
        return BlochMap(scale_y=scale, scale_z=scale)

    def _kraus_entries(self, kept: Tensor, changed: Tensor) -> Sequence[Sequence[Any]]:
        return (kept, 0, 0, kept), (0, changed, changed, 0)


@dataclass(frozen=True, eq=False, repr=False)
class PhaseFlip(Channel):
    """Pauli Z with probability `p`; `qml.PhaseFlip`."""

    p: Number | Sequence[float] | Strength

    def bloch_map(self) -> BlochMap:
        scale = 1 - 2 * self._number
        return BlochMap(scale_x=scale, scale_y=scale)

    def _kraus_entries(self, kept: Tensor, changed: Tensor) -> Sequence[Sequence[Any]]:
        return (kept, 0, 0, kept), (changed, 0, 0, -changed)


@dataclass(frozen=True, eq=False, repr=False)
class Depolarizing(Channel):
    """Pauli X, Y or Z, each with probability `p` / 3; `qml.DepolarizingChannel`."""

    p: Number | Sequence[float] | Strength

    def bloch_map(self) -> BlochMap:
        scale = 1 - 4 * self._number / 3
        return BlochMap(scale, scale, scale)

    def _kraus_entries(self, kept: Tensor, changed: Tensor) -> Sequence[Sequence[Any]]:
        each = changed / math.sqrt(3)
        paulis = (0, each, each, 0), (0, -1j * each, 1j * each, 0), (each, 0, 0, -each)
        return (kept, 0, 0, kept), *paulis


@dataclass(frozen=True, eq=False, repr=False)
class AmplitudeDamping(Channel):
    """Decay from |1> to |0> with probability `gamma`; `qml.AmplitudeDamping`."""

    gamma: Number | Sequence[float] | Strength
    _field = "gamma"

    def bloch_map(self) -> BlochMap:
        gamma = self._number
        transverse = _root(1 - gamma)
        return BlochMap(transverse, transverse, 1 - gamma, gamma)

    def _kraus_entries(self, kept: Tensor, changed: Tensor) -> Sequence[Sequence[Any]]:
        return (1, 0, 0, kept), (0, changed, 0, 0)


@dataclass(frozen=True, eq=False, repr=False)
class PhaseDamping(Channel):
    """Loss of phase with probability `gamma`, without decay; `qml.PhaseDamping`."""

    gamma: Number | Sequence[float] | Strength
    _field = "gamma"

    def bloch_map(self) -> BlochMap:
        transverse = _root(1 - self._number)
        return BlochMap(transverse, transverse)

    def _kraus_entries(self, kept: Tensor, changed: Tensor) -> Sequence[Sequence[Any]]:
        return (1, 0, 0, kept), (0, 0, 0, changed)


@dataclass(frozen=True, eq=False, repr=False)
class NoiseModel:
    """Noise of a re-uploading circuit.

    Args:
        after_rotation (sequence of Channel): act in this order on each wire after its rotations,
            in every block.
        after_entangler (sequence of Channel): act in this order on each wire after each layer of
            CZ gates, also on wires without a CZ (a layer takes time on every wire).
        readout_error (float, sequence of floats or Tensor of shape (n_wires,)): probability in [0, 1]
            that a measured bit is flipped, one or one for each wire, trained if it is an
            `nn.Parameter`; <Z> becomes (1 - 2 * readout_error) * <Z>.

    Raises:
        ValueError: if a place holds anything but channels, or `readout_error` is no probability.
    """

    after_rotation: Sequence[Channel] = ()
    after_entangler: Sequence[Channel] = ()
    readout_error: Number | Sequence[float] = 0.0

    def __post_init__(self) -> None:
        for place in ("after_rotation", "after_entangler"):
            object.__setattr__(self, place, _as_channels(place, getattr(self, place)))
        error = _probability("readout_error", self.readout_error)
        object.__setattr__(self, "readout_error", error)

    @staticmethod
    def preset(name: str, /, **options: Any) -> NoiseModel:
        """A noise model by name.

        "author-code", without options, is what the published code of SQDR-CNN does (arXiv 2512.03895,
        its PennyLane circuit), quirks included:

        - After the rotations of each block, each wire has BitFlip(0.02), Depolarizing(0.03) and
          AmplitudeDamping(gamma), in this order.
        - gamma is no constant of a device but the sigmoid of one of the wire's own three data angles:
          0.5 for an angle of 0, and stronger the larger the angle. Gradients pass through it to the
          data.
        - Which of the three is drawn anew in every evaluation, also in tests, for each sample, wire
          and block. The published code draws with Python's `random`, which torch's seed does not
          reach; here the circuit's own generator draws.
        - After each layer of CZ gates there is one BitFlip(0.02) and one Depolarizing(0.03), on the
          last wire alone: the published code uses a loop variable after the loop.

        "device" is relaxation and dephasing at the rates of a device:

        - AmplitudeDamping(1 - exp(-t / T1)) and PhaseDamping(1 - exp(-2 t / Tphi)) on every wire, with
          1 / Tphi = 1 / T2 - 1 / (2 T1), after rotations (t = `rotation_time`) and after CZ layers
          (t = `cz_time`). Populations so relax by exp(-t / T1) and coherences by exp(-t / T2).
        - `t1` and `t2` (floats, or sequences of floats, one for each wire): relaxation and coherence
          time in microseconds, T2 <= 2 T1. Defaults: 100 and 80.
        - `rotation_time` and `cz_time` (floats): duration of the rotations of a block and of a layer of
          CZ gates, in microseconds. Defaults: 0.05, two pulses of 25 ns, which make any rotation, and
          0.08, two rounds of gates of 40 ns, which make a chain.
        - `readout_error`: as in `NoiseModel`. Default: 0.01.

        The channels are those of Nielsen and Chuang, Quantum Computation and Quantum Information,
        section 8.3; the rates and the typical values of superconducting qubits those of Krantz et al.,
        Applied Physics Reviews 6, 021318 (2019), arXiv 1904.06560.

        Args:
            name (str): "author-code" or "device".
            **options: as above.

        Raises:
            ValueError: if there is no such preset or option, or an option is out of its domain.
        """
        presets: dict[str, Callable[..., NoiseModel]] = {"author-code": _author_code, "device": _device}
        if not isinstance(name, str) or name not in presets:
            raise argument_error("preset", f"be one of {', '.join(presets)}", f"is {name!r}")
        known = inspect.signature(presets[name]).parameters
        for option in options:
            if option not in known:
                must = f"have options among {', '.join(known) or 'none'} for {name!r}"
                raise argument_error("preset", must, f"has {option!r}")
        return presets[name](**options)

    @staticmethod
    def from_dict(plain: Mapping[str, Any]) -> NoiseModel:
        """The noise model that `to_dict` or a configuration file describes.

        Args:
            plain (mapping): `after_rotation`, `after_entangler` and `readout_error` as `to_dict`
                returns them, each optional. A mapping {"BitFlip": 0.02, ...} may stand for a sequence
                of mappings with one entry each. Or {"preset": "device", ...}: a preset's name, and its
                options.

        Raises:
            ValueError: if there is a key, channel or preset of another name, or a bad strength.
        """
        if not isinstance(plain, Mapping):
            raise argument_error("noise", "be a mapping", f"is {plain!r}")
        if "preset" in plain:
            options = {str(key): value for key, value in plain.items() if key != "preset"}
            return NoiseModel.preset(plain["preset"], **options)
        known = [field.name for field in fields(NoiseModel)]
        for key in plain:
            if key not in known:
                raise argument_error(
                    "noise", f"have keys among {', '.join(known)} or preset", f"has {key!r}"
                )
        return NoiseModel(
            _channels_from_plain("after_rotation", plain.get("after_rotation", ())),
            _channels_from_plain("after_entangler", plain.get("after_entangler", ())),
            _from_plain("readout_error", plain.get("readout_error", 0.0)),
        )

    def to_dict(self) -> dict[str, Any]:
        """The noise model in numbers, strings, lists and dicts, for files; see `from_dict`.

        Returns:
            dict: {"after_rotation": [{"BitFlip": 0.02}, {"AmplitudeDamping": [0.1, 0.2]}],
            "after_entangler": [], "readout_error": 0.0}. Where a strength is trained, its number p is
            {"Parameter": p}; where it depends on the circuit, it is {"OnLastWire": 0.02} or
            "SigmoidOfDrawnAngle".
        """
        after_rotation, after_entangler = (
            [{type(channel).__name__: _plain(channel.strength)} for channel in channels]
            for channels in (self.after_rotation, self.after_entangler)
        )
        return {
            "after_rotation": after_rotation,
            "after_entangler": after_entangler,
            "readout_error": _plain(self.readout_error),
        }

    def named_strengths(self) -> Iterator[tuple[str, str, Number | Strength]]:
        """Each strength, readout error last, with its name in the model and that in messages.

        Yields:
            (name, argument, strength), for instance ("after_rotation_0_BitFlip", "BitFlip.p", 0.02)
        """
        for place in ("after_rotation", "after_entangler"):
            for name, channel in _named(place, getattr(self, place)):
                yield name, channel.argument, channel.strength
        yield "readout_error", "readout_error", cast(Number, self.readout_error)

    def with_strengths(self, strengths: Mapping[str, Number | Strength]) -> NoiseModel:
        """This model with other strengths, by their names in `named_strengths`; not checked."""
        model = object.__new__(NoiseModel)
        for place in ("after_rotation", "after_entangler"):
            channels = tuple(
                channel.with_strength(strengths[name]) if name in strengths else channel
                for name, channel in _named(place, getattr(self, place))
            )
            object.__setattr__(model, place, channels)
        readout_error = strengths.get("readout_error", self.readout_error)
        object.__setattr__(model, "readout_error", readout_error)
        return model

    @property
    def readout_scale(self) -> Number:
        """Factor of every <Z>: 1 - 2 * readout_error."""
        return 1 - 2 * cast(Number, self.readout_error)

    def __bool__(self) -> bool:
        """Whether there is any noise at all. A tensor counts as noise, since it may change."""
        has_channels = self.after_rotation or self.after_entangler
        return bool(has_channels or isinstance(self.readout_error, Tensor) or self.readout_error)

    def __eq__(self, other: object) -> bool:
        return self.to_dict() == other.to_dict() if isinstance(other, NoiseModel) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.after_rotation, self.after_entangler))

    def __repr__(self) -> str:
        places = ", ".join(
            f"{place}={getattr(self, place)!r}" for place in ("after_rotation", "after_entangler")
        )
        return f"NoiseModel({places}, readout_error={_shown(self.readout_error)})"


def channel(name: str, strength: Any) -> Channel:
    """The channel of this class name, for instance "BitFlip".

    Args:
        name (str): name of the class.
        strength (float, Tensor or Strength): or its plain form, as in `NoiseModel.to_dict`.
    """
    classes: dict[str, Any] = {kind.__name__: kind for kind in Channel.__subclasses__()}
    if name not in classes:
        raise argument_error("channel", f"be one of {', '.join(classes)}", f"is {name!r}")
    kind = classes[name]
    named: Channel = kind(_from_plain(f"{name}.{kind._field}", strength))
    return named


def compose(channels: Iterable[Channel]) -> BlochMap:
    """One map of Bloch vectors for `channels`, applied in their order."""
    composed = BlochMap()
    for channel in channels:
        composed = composed.then(channel.bloch_map())
    return composed


def stack(numbers: Sequence[complex | Tensor], like: Tensor) -> Tensor:
    """Numbers and tensors that broadcast together along a new last axis; dtype and device of `like`."""
    if not any(isinstance(number, Tensor) for number in numbers):
        return torch.tensor(numbers, dtype=like.dtype, device=like.device)
    tensors = [torch.as_tensor(number, dtype=like.dtype, device=like.device) for number in numbers]
    return torch.stack(torch.broadcast_tensors(*tensors), dim=-1)  # type: ignore[no-untyped-call]


def check_probabilities(argument: str, strength: Tensor) -> None:
    """Report values that are not finite or not in [0, 1].

    Raises:
        ValueError: on the CPU; on CUDA and in compiled code an assertion reports them later, so that
            nothing waits for the device.
    """
    in_range = (strength >= 0) & (strength <= 1)  # False for NaN
    if strength.is_cuda or torch.compiler.is_compiling():
        torch._assert_async(in_range.all(), f"Argument `{argument}` must be in [0, 1], but is not.")
    elif not in_range.all():
        _refuse_outside(argument, strength, in_range)


def _author_code() -> NoiseModel:
    return NoiseModel(
        (BitFlip(0.02), Depolarizing(0.03), AmplitudeDamping(SigmoidOfDrawnAngle())),
        (BitFlip(OnLastWire(0.02)), Depolarizing(OnLastWire(0.03))),
    )


def _device(
    t1: float | Sequence[float] = 100.0,
    t2: float | Sequence[float] = 80.0,
    rotation_time: float = 0.05,
    cz_time: float = 0.08,
    readout_error: float | Sequence[float] = 0.01,
) -> NoiseModel:
    relaxation, coherence = _times("t1", t1), _times("t2", t2)
    if coherence.dim() and relaxation.dim() and len(coherence) != len(relaxation):
        raise argument_error("t2", f"have {len(relaxation)} values like `t1`", f"has {len(coherence)}")
    if not (coherence <= 2 * relaxation).all():
        raise argument_error("t2", "be at most 2 * t1", f"t1 is {t1!r} and t2 is {t2!r}")
    dephasing_rate = (1 / coherence - 1 / (2 * relaxation)).clamp(min=0)

    def channels(time: float) -> tuple[Channel, Channel]:
        damping = -torch.expm1(-time / relaxation)
        dephasing = -torch.expm1(-2 * time * dephasing_rate)
        return AmplitudeDamping(damping.tolist()), PhaseDamping(dephasing.tolist())

    rotation_time = check_number("rotation_time", rotation_time, 0)
    cz_time = check_number("cz_time", cz_time, 0)
    return NoiseModel(channels(rotation_time), channels(cz_time), readout_error)


def _times(name: str, times: Any) -> Tensor:
    """Positive times, one or one for each wire, in float64."""
    if isinstance(times, Tensor | np.ndarray):
        times = times.tolist()
    is_for_each = isinstance(times, Sequence) and not isinstance(times, str)
    for time in times if is_for_each else (times,):
        if check_number(name, time, 0) == 0:
            raise argument_error(name, "be positive", f"is {time!r}")
    return torch.tensor(times, dtype=torch.float64)


def _probability(argument: str, value: Any) -> Number:
    """`value` as a float in [0, 1], or, where it is trained or one for each wire, as a tensor."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = torch.tensor([check_number(argument, v, 0, 1) for v in value], dtype=torch.float64)
    if not isinstance(value, Tensor) or not (value.dim() or _is_trained(value)):
        return check_number(argument, value, 0, 1)
    if not value.is_floating_point() or value.dim() > 1 or value.numel() == 0:
        must = "be a number or a floating-point tensor of one axis"
        raise argument_error(argument, must, f"has shape {tuple(value.shape)} and dtype {value.dtype}")
    in_range = (value >= 0) & (value <= 1)
    if not in_range.all():
        _refuse_outside(argument, value, in_range)
    return value


def _refuse_outside(argument: str, values: Tensor, in_range: Tensor) -> None:
    wrong = values[~in_range][0].item()
    raise argument_error(argument, "be a finite number in [0, 1], or hold such", f"holds {wrong!r}")


def _is_trained(strength: Tensor) -> bool:
    return isinstance(strength, nn.Parameter) or strength.requires_grad


def _plain(strength: Any) -> Any:
    """A strength in numbers, strings, lists and dicts, as `NoiseModel.to_dict` describes them."""
    if isinstance(strength, Tensor):
        return {"Parameter": strength.tolist()} if _is_trained(strength) else strength.tolist()
    if isinstance(strength, Strength):
        name = type(strength).__name__
        values = list(vars(strength).values())
        return {name: values[0]} if values else name
    return strength


def _from_plain(argument: str, plain: Any) -> Any:
    """The strength that `_plain` describes; unchecked, and as it is, if it is no string or mapping."""
    if not isinstance(plain, str | Mapping):
        return plain

    def parameter(value: Any) -> nn.Parameter:
        return nn.Parameter(torch.as_tensor(_probability(argument, value), dtype=torch.float64))

    kinds: dict[str, Callable[..., Any]] = {kind.__name__: kind for kind in Strength.__subclasses__()}
    kinds["Parameter"] = parameter
    entries = [(plain,)] if isinstance(plain, str) else list(plain.items())
    if len(entries) == 1 and entries[0][0] in kinds:
        name, *values = entries[0]
        if len(values) == len(inspect.signature(kinds[name]).parameters):
            return kinds[name](*values)
    must = f"be a finite number in [0, 1], a sequence of such, or of {', '.join(kinds)}"
    raise argument_error(argument, must, f"is {plain!r}")


def _shown(strength: Any) -> str:
    if not isinstance(strength, Tensor):
        return repr(strength)
    values = np.array2string(strength.detach().cpu().numpy(), precision=4, separator=", ")
    return f"Parameter({values})" if _is_trained(strength) else values


def _root(number: Number) -> Number:
    """Square root of a number or tensor; its slope at 0, which is infinite, counts as 0 there."""
    if isinstance(number, Tensor):
        number = number.clamp(min=torch.finfo(number.dtype).tiny)
    return number**0.5


def _named(place: str, channels: Iterable[Channel]) -> list[tuple[str, Channel]]:
    """Channels with their names, for instance "after_rotation_0_BitFlip"."""
    return [(f"{place}_{i}_{type(channel).__name__}", channel) for i, channel in enumerate(channels)]


def _channels_from_plain(place: str, plain: Any) -> list[Channel]:
    must = "be a sequence of mappings such as {'BitFlip': 0.02}, or one such mapping"
    if isinstance(plain, Mapping):
        plain = [{name: strength} for name, strength in plain.items()]
    if isinstance(plain, str) or not isinstance(plain, Sequence):
        raise argument_error(place, must, f"is {plain!r}")
    channels = []
    for entry in plain:
        if not isinstance(entry, Mapping) or len(entry) != 1:
            raise argument_error(place, must, f"holds {entry!r}")
        channels += [channel(name, strength) for name, strength in entry.items()]
    return channels


def _as_channels(place: str, channels: Any) -> tuple[Channel, ...]:
    must = "be a sequence of channels"
    if isinstance(channels, Channel):
        raise argument_error(place, must, f"is the single channel {channels!r}; write ({channels!r},)")
    if isinstance(channels, str) or not isinstance(channels, Iterable):
        raise argument_error(place, must, f"is {channels!r}")
    sequence: tuple[Channel, ...] = tuple(channels)
    for channel in sequence:
        if not isinstance(channel, Channel):
            raise argument_error(place, must, f"holds {channel!r}")
    return sequence
