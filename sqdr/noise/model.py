"""Noise models: which channels act where in the circuit, by hand, by preset, or from a file."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from sqdr.noise.channels import (
    AmplitudeDamping,
    BitFlip,
    Channel,
    Depolarizing,
    NoiseProcess,
    PhaseDamping,
    TwoWireDepolarizing,
    channel_to_plain,
    named_channel,
)
from sqdr.noise.readout import ReadoutError
from sqdr.noise.strengths import (
    Number,
    OnLastWire,
    SigmoidOfDrawnAngle,
    Strength,
    check_strength,
    from_plain,
    shown,
    to_plain,
)
from sqdr.validation import argument_error, check_number

#: Where channels act, and what that is in words.
PLACES = {"after_rotation": "rotations", "after_entangler": "entangling layers"}


@dataclass(frozen=True, eq=False, repr=False)
class NoiseModel:
    """Noise of a re-uploading circuit.

    Args:
        after_rotation (sequence of Channel): act in this order on each wire after its rotations,
            in every block.
        after_entangler (sequence of Channel or TwoWireDepolarizing): act in this order after each
            entangling layer, channels on each wire, also on those of no pair (a layer takes time on
            every wire), and two-wire noise on each pair.
        readout_error (float, sequence of floats, Tensor of shape (n_wires,) or ReadoutError):
            probability in [0, 1] that a measured bit is flipped, one or one for each wire, trained if
            it is an `nn.Parameter`; <Z> becomes (1 - 2 * readout_error) * <Z>, and an observable of
            several wires has such a factor for each. A `ReadoutError` differs between 0 and 1.

    Raises:
        ValueError: if a place holds anything but channels, or `readout_error` is no probability.
    """

    after_rotation: Sequence[Channel] = ()
    after_entangler: Sequence[NoiseProcess] = ()
    readout_error: Number | Sequence[float] | ReadoutError = 0.0

    def __post_init__(self) -> None:
        for place in PLACES:
            object.__setattr__(self, place, _as_channels(place, getattr(self, place)))
        if not isinstance(self.readout_error, ReadoutError):
            error = check_strength("readout_error", self.readout_error)
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
    def from_qiskit(
        backend: Any,
        wires: Sequence[int] | None = None,
        *,
        n_wires: int | None = None,
        n_blocks: int = 2,
        entanglement: Any = "linear",
    ) -> NoiseModel:
        """The noise of a device, from its calibration; see `sqdr.noise.Calibration.noise_model`.

        Args:
            backend (qiskit.providers.BackendV2 or qiskit.transpiler.Target): as in
                `Calibration.from_qiskit`.
            wires (sequence of ints or None): the qubit of each wire. Default: None, those of
                `Calibration.best_wires`.
            n_wires (int or None): number of wires where `wires` is None. Default: None.
            n_blocks (int): of the circuit. Default: 2.
            entanglement (str or sequence of pairs): as in `ReuploadCircuit`. Default: "linear".

        Raises:
            ValueError: if the device has no such qubits and couplers, or one is out of order.
        """
        from sqdr.noise.calibration import Calibration

        calibration = Calibration.from_qiskit(backend)
        if wires is None:
            if n_wires is None:
                raise argument_error("n_wires", "be given where `wires` is not", "is None")
            wires = calibration.best_wires(n_wires, entanglement)
        return calibration.noise_model(wires, entanglement, n_blocks=n_blocks)

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
            _readout_from_plain(plain.get("readout_error", 0.0)),
        )

    def to_dict(self) -> dict[str, Any]:
        """The noise model in numbers, strings, lists and dicts, for files; see `from_dict`.

        Returns:
            dict: {"after_rotation": [{"BitFlip": 0.02}, {"AmplitudeDamping": [0.1, 0.2]}],
            "after_entangler": [], "readout_error": 0.0}. Where a strength is trained, its number p is
            {"Parameter": p}; where it depends on the circuit, it is {"OnLastWire": 0.02} or
            "SigmoidOfDrawnAngle". A `ReadoutError` is {"prob_meas1_prep0": 0.01, "prob_meas0_prep1":
            0.03}. The operators of `Kraus` are lists, each entry its real and imaginary
            part.

        Raises:
            ValueError: if a channel, or its strength, is of a class that sqdr does not know.
        """
        plain: dict[str, Any] = {
            place: [channel_to_plain(channel) for channel in getattr(self, place)] for place in PLACES
        }
        error = self.readout_error
        of_bit = error.to_plain() if isinstance(error, ReadoutError) else to_plain(error)
        return plain | {"readout_error": of_bit}

    def named_processes(self) -> Iterator[tuple[str, NoiseProcess]]:
        """Each channel with its name in the model, for instance "after_rotation_0_BitFlip"."""
        for place in PLACES:
            yield from _named(place, getattr(self, place))

    def named_strengths(self) -> Iterator[tuple[str, str, Number | Strength]]:
        """Each strength, readout error last, with its name in the model and that in messages.

        Yields:
            (name, argument, strength), for instance ("after_rotation_0_BitFlip", "BitFlip.p", 0.02)
        """
        for name, channel in self.named_processes():
            if channel.strength is not None:
                yield name, channel.argument, channel.strength
        if isinstance(self.readout_error, ReadoutError):
            yield from self.readout_error.named_strengths()
        else:
            yield "readout_error", "readout_error", cast(Number, self.readout_error)

    @property
    def on_wires_after_entangler(self) -> tuple[Channel, ...]:
        """The channels of `after_entangler` that act on wires."""
        return tuple(p for p in self.after_entangler if isinstance(p, Channel))

    def strengths_of_pairs(self) -> set[str]:
        """Names of the strengths that are one for each pair, not for each wire."""
        named = _named("after_entangler", self.after_entangler)
        return {name for name, process in named if isinstance(process, TwoWireDepolarizing)}

    def with_strengths(self, strengths: Mapping[str, Number | Strength]) -> NoiseModel:
        """This model with other strengths, by their names in `named_strengths`; not checked."""
        model = object.__new__(NoiseModel)
        for place in PLACES:
            channels = tuple(
                channel.with_strength(strengths[name]) if name in strengths else channel
                for name, channel in _named(place, getattr(self, place))
            )
            object.__setattr__(model, place, channels)
        if isinstance(self.readout_error, ReadoutError):
            readout_error: Any = self.readout_error.with_strengths(strengths)
        else:
            readout_error = strengths.get("readout_error", self.readout_error)
        object.__setattr__(model, "readout_error", readout_error)
        return model

    def in_words(self) -> str:
        """Channels, their strengths and places in one line; "none" without noise."""
        parts = [
            f"{', '.join(channel.in_words() for channel in getattr(self, place))} after {where}"
            for place, where in PLACES.items()
            if getattr(self, place)
        ]
        if isinstance(self.readout_error, ReadoutError):
            parts.append(f"readout error {self.readout_error.in_words()}")
        elif self.has_readout_error:
            parts.append(f"readout error {shown(self.readout_error, digits=4)}")
        return "; ".join(parts) or "none"

    @property
    def readout_scale(self) -> Number:
        """Factor of every <Z>: 1 - 2 * readout_error."""
        if isinstance(self.readout_error, ReadoutError):
            return self.readout_error.scale
        return 1 - 2 * cast(Number, self.readout_error)

    @property
    def readout_shift(self) -> Number:
        """What is added to every <Z>; 0 unless there is a `ReadoutError`."""
        return self.readout_error.shift if isinstance(self.readout_error, ReadoutError) else 0.0

    @property
    def has_readout_error(self) -> bool:
        """Whether a measured bit can be read wrongly. A tensor counts, since it may change."""
        return isinstance(self.readout_error, Tensor) or bool(self.readout_error)

    @property
    def is_directed(self) -> bool:
        """Whether readout error may differ between 0 and 1, so that `readout_shift` counts."""
        return isinstance(self.readout_error, ReadoutError)

    def __bool__(self) -> bool:
        """Whether there is any noise at all. A tensor counts as noise, since it may change."""
        return bool(self.after_rotation or self.after_entangler or self.has_readout_error)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NoiseModel):
            return NotImplemented
        same_places = all(getattr(self, place) == getattr(other, place) for place in PLACES)
        errors = self.readout_error, other.readout_error
        if any(isinstance(error, ReadoutError) for error in errors):
            return same_places and errors[0] == errors[1]
        return same_places and to_plain(errors[0]) == to_plain(errors[1])

    def __hash__(self) -> int:
        return hash((self.after_rotation, self.after_entangler))

    def __repr__(self) -> str:
        places = ", ".join(f"{place}={getattr(self, place)!r}" for place in PLACES)
        error = self.readout_error
        error_shown = repr(error) if isinstance(error, ReadoutError) else shown(error)
        return f"NoiseModel({places}, readout_error={error_shown})"


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
    if is_for_each and not times:
        raise argument_error(name, "be positive, one or one for each wire", "is empty")
    for time in times if is_for_each else (times,):
        if check_number(name, time, 0) == 0:
            raise argument_error(name, "be positive", f"is {time!r}")
    return torch.tensor(times, dtype=torch.float64)


def _named(place: str, channels: Iterable[NoiseProcess]) -> list[tuple[str, NoiseProcess]]:
    """Channels with their names, for instance "after_rotation_0_BitFlip"."""
    return [(f"{place}_{i}_{type(channel).__name__}", channel) for i, channel in enumerate(channels)]


def _readout_from_plain(plain: Any) -> Any:
    if isinstance(plain, Mapping) and "Parameter" not in plain:
        return ReadoutError.from_plain(plain)
    return from_plain("readout_error", plain)


def _channels_from_plain(place: str, plain: Any) -> list[Any]:
    must = "be a sequence of mappings such as {'BitFlip': 0.02}, or one such mapping"
    if isinstance(plain, Mapping):
        plain = [{name: strength} for name, strength in plain.items()]
    if isinstance(plain, str) or not isinstance(plain, Sequence):
        raise argument_error(place, must, f"is {plain!r}")
    channels = []
    for entry in plain:
        if not isinstance(entry, Mapping) or len(entry) != 1:
            raise argument_error(place, must, f"holds {entry!r}")
        channels += [named_channel(name, strength) for name, strength in entry.items()]
    return channels


def _as_channels(place: str, channels: Any) -> tuple[NoiseProcess, ...]:
    must = "be a sequence of channels"
    if isinstance(channels, NoiseProcess):
        raise argument_error(place, must, f"is the single channel {channels!r}; write ({channels!r},)")
    if isinstance(channels, str) or not isinstance(channels, Iterable):
        raise argument_error(place, must, f"is {channels!r}")
    sequence: tuple[NoiseProcess, ...] = tuple(channels)
    for channel in sequence:
        if place == "after_rotation" and isinstance(channel, TwoWireDepolarizing):
            raise argument_error(place, f"{must} on one wire", f"holds {channel!r}")
        if not isinstance(channel, Channel | TwoWireDepolarizing):
            raise argument_error(place, must, f"holds {channel!r}")
    return sequence
