"""Noise of wires and of pairs: what it does to Bloch vectors or Pauli strings, and Kraus operators."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sqdr.noise.strengths import (
    Number,
    Strength,
    check_known,
    check_strength,
    from_plain,
    shown,
    to_plain,
)
from sqdr.validation import argument_error

#: Largest error of the sum of K^dagger K that rounding excuses.
_ROUNDING = 1e-5


class BlochMap(NamedTuple):
    """A diagonal map of Bloch vectors: (x, y, z) -> (scale * (x, y, z)) + (0, 0, shift_z).

    Every named channel has this form, and so has every sequence of them. The numbers are floats, or
    tensors of the shape of the strength. `TransferMatrix` is any map.
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

    def transfer_matrix(self) -> TransferMatrix:
        """The same map as a matrix."""
        x, y, z, shift = self
        tensors = [number for number in self if isinstance(number, Tensor)]
        like = tensors[0] if tensors else torch.empty((), dtype=torch.float64, device="cpu")
        entries = (1.0, 0.0, 0.0, 0.0, 0.0, x, 0.0, 0.0, 0.0, 0.0, y, 0.0, shift, 0.0, 0.0, z)
        return TransferMatrix(torch.unflatten(stack(entries, like), -1, (4, 4)))


class TransferMatrix(NamedTuple):
    """Any map of Bloch vectors, as a Pauli transfer matrix.

    Args:
        matrix (Tensor of shape (..., 4, 4)): entry [row, column] is what the old expectation value of
            Pauli `column` contributes to the new one of Pauli `row`, in the order I, X, Y, Z; the first
            row is (1, 0, 0, 0). The axes in front are those of the strength.
    """

    matrix: Tensor

    def then(self, later: TransferMatrix) -> TransferMatrix:
        """The map that applies `self` first and `later` second, in the higher precision of the two."""
        first, second = self.matrix, later.matrix
        dtype = torch.promote_types(first.dtype, second.dtype)
        # Constants are made on the CPU; what was realised for angles is where they are.
        device = first.device if first.device.type != "cpu" else second.device
        return TransferMatrix(second.to(device, dtype) @ first.to(device, dtype))

    def in_block(self, block: int) -> TransferMatrix:
        """The map in one block: a tensor of shape (n_blocks or 1, ..., 4, 4) loses its first axis."""
        if self.matrix.dim() == 2:
            return self
        return TransferMatrix(self.matrix[min(block, len(self.matrix) - 1)])

    def transfer_matrix(self) -> TransferMatrix:
        return self

    def kraus_operators(self) -> Tensor:
        """Four Kraus operators of the map: the eigenvectors of its Choi matrix.

        Returns:
            complex Tensor of shape (..., 4, 2, 2)
        """
        paulis = _PAULIS.to(self.matrix.device, self.matrix.dtype.to_complex())
        choi = torch.einsum("...qp,qab,pdc->...acbd", self.matrix.to(paulis), paulis, paulis) / 2
        values, vectors = torch.linalg.eigh(choi.flatten(-2).flatten(-3, -2))
        operators = values.clamp(min=0).sqrt().unsqueeze(-2) * vectors
        return torch.unflatten(operators.mT, -1, (2, 2))


@dataclass(frozen=True, eq=False, repr=False)
class NoiseProcess(ABC):
    """Noise of one wire or of a pair: what `Channel` and `TwoWireDepolarizing` share.

    Its only field is its strength, named in `strength_name`, or it has none.
    """

    #: Name of the field that is the strength; None for one without.
    strength_name: ClassVar[str | None] = "p"

    def __post_init__(self) -> None:
        if self.strength_name is not None and not isinstance(self.strength, Strength):
            strength = check_strength(self.argument, self.strength)
            object.__setattr__(self, self.strength_name, strength)

    @abstractmethod
    def kraus_operators(self) -> Tensor:
        """Kraus operators K, which take rho to the sum of K rho K^dagger."""

    @property
    def strength(self) -> Number | Strength | None:
        """The value of the only field; None without strength."""
        if self.strength_name is None:
            return None
        return cast("Number | Strength", getattr(self, self.strength_name))

    @property
    def argument(self) -> str:
        """Name of the strength in messages, for instance "BitFlip.p"."""
        return f"{type(self).__name__}.{self.strength_name}"

    def operators_on(self, place: int) -> Tensor:  # noqa: ARG002
        """`kraus_operators` of one wire or pair, which may be others than those of the rest."""
        return self.kraus_operators()

    def with_strength(self, strength: Number | Strength) -> Self:
        """The same with another strength, which is not checked."""
        process = object.__new__(type(self))
        vars(process).update(vars(self))
        object.__setattr__(process, str(self.strength_name), strength)
        return process

    def in_words(self) -> str:
        """Name and strength, for instance "BitFlip 0.02"."""
        return f"{type(self).__name__} {shown(self.strength, digits=4)}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NoiseProcess):
            return NotImplemented
        return type(self) is type(other) and to_plain(self.strength) == to_plain(other.strength)

    def __hash__(self) -> int:
        # Not of a tensor's values, which may change.
        return hash((type(self), None if isinstance(self.strength, Tensor) else self.strength))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.strength_name}={shown(self.strength)})"

    @property
    def _number(self) -> Number:
        strength = self.strength
        if strength is None or isinstance(strength, Strength):
            but = f"is {strength!r}; see `ReuploadCircuit.realised_noise`"
            raise argument_error(self.argument, "be a number or a tensor here", but)
        return strength


@dataclass(frozen=True, eq=False, repr=False)
class Channel(NoiseProcess):
    """A one-qubit noise channel, with one strength or none.

    A channel of your own is a frozen dataclass that defines `kraus_operators`; it may define
    `bloch_map`, too, where that is simpler or has a gradient that the operators do not have. Its only
    field is its strength, named in `strength_name`, or it has none. Every backend with noise evaluates
    it; files hold only channels of this module.

    The strength is a probability in [0, 1]:

    - a number;
    - a sequence of numbers or a Tensor of shape (n_wires,), one for each wire, which the circuit keeps
      as a buffer;
    - an `nn.Parameter` of one value or of shape (n_wires,), which the circuit trains. Keep it in
      [0, 1], for instance by `p.clamp_(0, 1)` after each step: a circuit refuses to be evaluated
      beyond;
    - a `Strength`, which depends on the circuit.

    Raises:
        ValueError: if the strength is none of these, is not finite and in [0, 1], or has more than one
            axis.
    """

    @abstractmethod
    def kraus_operators(self) -> Tensor:
        """Kraus operators K of the channel, which takes rho to the sum of K rho K^dagger.

        They may lack a gradient at strengths 0 and 1, where the slope of a square root is infinite;
        `bloch_map` has one for the channels of this module.

        Returns:
            complex Tensor of shape (k, 2, 2), or (*strength.shape, k, 2, 2); complex128 for a number.
        """

    def bloch_map(self) -> BlochMap | TransferMatrix:
        """The channel as a map of Bloch vectors; its numbers have the shape of the strength."""
        operators = self.kraus_operators()
        paulis = _PAULIS.to(operators)
        images = torch.einsum(
            "...kab,pbc,...kdc->...pad", operators, paulis, operators.conj()
        )  # of each Pauli
        return TransferMatrix(torch.einsum("qda,...pad->...qp", paulis, images).real / 2)


@dataclass(frozen=True, eq=False, repr=False)
class _OneStrength(Channel):
    """A channel whose Bloch map is diagonal, and whose operators are roots of its strength."""

    @abstractmethod
    def bloch_map(self) -> BlochMap:
        """The channel as a map of Bloch vectors; its numbers have the shape of the strength."""

    @abstractmethod
    def _kraus_entries(self, kept: Tensor, changed: Tensor) -> Sequence[Sequence[Any]]:
        """Entries 00, 01, 10, 11 of each operator, from the roots of 1 - strength and of strength."""

    def kraus_operators(self) -> Tensor:
        strength = self._number
        if not isinstance(strength, Tensor):
            strength = torch.tensor(strength, dtype=torch.float64)
        operators = self._kraus_entries((1 - strength).sqrt(), strength.sqrt())
        entries = [entry for operator in operators for entry in operator]
        return torch.unflatten(stack(entries, strength.to(strength.dtype.to_complex())), -1, (-1, 2, 2))


@dataclass(frozen=True, eq=False, repr=False)
class BitFlip(_OneStrength):
    """Pauli X with probability `p`; `qml.BitFlip`."""

    p: Number | Sequence[float] | Strength

    def bloch_map(self) -> BlochMap:
        scale = 1 - 2 * self._number
        return BlochMap(scale_y=scale, scale_z=scale)

    def _kraus_entries(self, kept: Tensor, changed: Tensor) -> Sequence[Sequence[Any]]:
        return (kept, 0, 0, kept), (0, changed, changed, 0)


@dataclass(frozen=True, eq=False, repr=False)
class PhaseFlip(_OneStrength):
    """Pauli Z with probability `p`; `qml.PhaseFlip`."""

    p: Number | Sequence[float] | Strength

    def bloch_map(self) -> BlochMap:
        scale = 1 - 2 * self._number
        return BlochMap(scale_x=scale, scale_y=scale)

    def _kraus_entries(self, kept: Tensor, changed: Tensor) -> Sequence[Sequence[Any]]:
        return (kept, 0, 0, kept), (changed, 0, 0, -changed)


@dataclass(frozen=True, eq=False, repr=False)
class Depolarizing(_OneStrength):
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
class AmplitudeDamping(_OneStrength):
    """Decay from |1> to |0> with probability `gamma`; `qml.AmplitudeDamping`."""

    gamma: Number | Sequence[float] | Strength
    strength_name = "gamma"

    def bloch_map(self) -> BlochMap:
        gamma = self._number
        transverse = _root(1 - gamma)
        return BlochMap(transverse, transverse, 1 - gamma, gamma)

    def _kraus_entries(self, kept: Tensor, changed: Tensor) -> Sequence[Sequence[Any]]:
        return (1, 0, 0, kept), (0, changed, 0, 0)


@dataclass(frozen=True, eq=False, repr=False)
class PhaseDamping(_OneStrength):
    """Loss of phase with probability `gamma`, without decay; `qml.PhaseDamping`."""

    gamma: Number | Sequence[float] | Strength
    strength_name = "gamma"

    def bloch_map(self) -> BlochMap:
        transverse = _root(1 - self._number)
        return BlochMap(transverse, transverse)

    def _kraus_entries(self, kept: Tensor, changed: Tensor) -> Sequence[Sequence[Any]]:
        return (1, 0, 0, kept), (0, 0, 0, changed)


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Kraus(Channel):
    """Any one-qubit channel, by its Kraus operators K: rho -> sum of K rho K^dagger.

    A coherent error, such as a rotation by a small angle too much, is a single unitary operator.

    Args:
        operators (Tensor or array of shape (k, 2, 2), or (n_wires, k, 2, 2) for those of each wire, k
            at least 1): complex or real. They are kept as complex128 on the CPU and are not trained.

    Raises:
        ValueError: if they have another shape, are not finite, have a gradient, or are not complete:
            the sum of K^dagger K must be the identity, up to rounding, which is mended.
    """

    strength_name = None

    def __init__(self, operators: ArrayLike | Tensor) -> None:
        object.__setattr__(self, "_operators", torch.from_numpy(_complete(operators)))
        general = super().bloch_map().transfer_matrix()
        matrix = general.matrix
        if matrix.dim() == 3:  # axes of blocks and samples, as realised strengths have them
            matrix = matrix[None, None]
        _, *scales = matrix.diagonal(dim1=-2, dim2=-1).unbind(-1)
        numbers = *scales, matrix[..., 3, 0]
        diagonal = BlochMap(*(number if number.dim() else number.item() for number in numbers))
        rest = diagonal.transfer_matrix().matrix - matrix
        # Four numbers where these say all, since backends evaluate them fastest.
        is_diagonal = rest.abs().max() < 1e-15
        object.__setattr__(self, "_map", diagonal if is_diagonal else TransferMatrix(matrix))

    @property
    def operators(self) -> Tensor:
        """A copy of the operators: those of a channel do not change."""
        return self._kept.clone()

    @property
    def _kept(self) -> Tensor:
        return cast(Tensor, vars(self)["_operators"])

    @property
    def n_wires(self) -> int | None:
        """The number of wires that have operators of their own; None where all have the same."""
        return len(self._kept) if self._kept.dim() == 4 else None

    def operators_on(self, place: int) -> Tensor:
        operators = self.kraus_operators()
        return operators if self.n_wires is None else operators[place]

    def kraus_operators(self) -> Tensor:
        return self.operators

    def bloch_map(self) -> BlochMap | TransferMatrix:
        return cast("BlochMap | TransferMatrix", vars(self)["_map"])

    def to_plain(self) -> list[Any]:
        """The operators as lists, each entry as [real, imaginary part]."""
        plain: list[Any] = torch.view_as_real(self._kept).tolist()
        return plain

    @staticmethod
    def from_plain(plain: Any) -> Kraus:
        """The channel that `to_plain` describes; or entries may be numbers."""
        try:
            entries = np.asarray(plain, dtype=np.complex128)
        except (TypeError, ValueError, OverflowError):
            raise _not_operators(f"is {plain!r:.60}") from None
        if entries.shape[3:] == (2,) or entries.ndim > 4:
            entries = entries[..., 0] + 1j * entries[..., 1]
        return Kraus(entries)

    def in_words(self) -> str:
        n = self._kept.shape[-3]
        return f"Kraus of {n} operator{'s' if n > 1 else ''}{' a wire' if self.n_wires else ''}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Kraus):
            return NotImplemented
        return torch.equal(self._kept, other._kept)

    def __hash__(self) -> int:
        return hash((self._kept.numpy() + 0).tobytes())  # -0 equals 0

    def __repr__(self) -> str:
        return f"Kraus({np.array2string(self._kept.numpy(), precision=4, separator=', ')})"


@dataclass(frozen=True, eq=False, repr=False)
class TwoWireDepolarizing(NoiseProcess):
    """One of the 15 two-wire Paulis other than II, each with probability `p` / 15, on each pair.

    It acts after the entangler, on every pair of `ReuploadCircuit.pairs`, and multiplies each Pauli
    string that is not II on the pair by 1 - 16 p / 15. This is `cirq.depolarize(p, n_qubits=2)`; the
    error of a two-qubit gate as calibrations state it, one less its average fidelity, is 4 p / 5.

    Args:
        p (float, sequence of floats, Tensor or Parameter): probability in [0, 1], one or one for each
            pair, as the strength of a `Channel`; none that is drawn.

    Raises:
        ValueError: if `p` is none of these.
    """

    p: Number | Sequence[float]

    def __post_init__(self) -> None:
        given: Any = self.p
        if isinstance(given, Strength):
            must = "be a number or a tensor, one or one for each pair"
            raise argument_error(self.argument, must, f"is {given!r}, which is of wires")
        super().__post_init__()

    @property
    def factor(self) -> Number:
        """What it multiplies a Pauli string by that is not the identity on the pair."""
        return 1 - 16 * self._number / 15

    def kraus_operators(self) -> Tensor:
        """Kraus operators on both wires of a pair, the first of which is the more significant bit.

        Returns:
            complex Tensor of shape (16, 4, 4), or (*p.shape, 16, 4, 4); complex128 for a number.
        """
        strength = self._number
        if not isinstance(strength, Tensor):
            strength = torch.tensor(strength, dtype=torch.float64)
        paulis = _PAULIS.to(strength.device, strength.dtype.to_complex())
        both = torch.einsum("iab,jcd->ijacbd", paulis, paulis).reshape(16, 4, 4)
        roots = stack(((1 - strength).sqrt(), *((strength / 15).sqrt(),) * 15), strength)
        return roots[..., None, None] * both


#: The channels that files may hold, by their names.
CHANNELS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        *(BitFlip, PhaseFlip, Depolarizing, AmplitudeDamping, PhaseDamping),
        *(TwoWireDepolarizing, Kraus),
    )
}

#: I, X, Y, Z.
_PAULIS = torch.tensor(
    [[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]],
    dtype=torch.complex128,
    device="cpu",
)


def named_channel(name: str, strength: Any) -> NoiseProcess:
    """The noise of this class name, for instance "BitFlip".

    Args:
        name (str): name of the class.
        strength (float, Tensor or Strength): or its plain form, as in `NoiseModel.to_dict`; operators
            for "Kraus".
    """
    if name not in CHANNELS:
        raise argument_error("channel", f"be one of {', '.join(CHANNELS)}", f"is {name!r}")
    kind = CHANNELS[name]
    if kind is Kraus:
        return Kraus.from_plain(strength)
    named: NoiseProcess = kind(from_plain(f"{name}.{kind.strength_name}", strength))
    return named


def channel_to_plain(channel: NoiseProcess) -> dict[str, Any]:
    """What `named_channel` makes the channel of: {name: strength}, in numbers, strings and lists.

    Raises:
        ValueError: if the channel, or its strength, is of a class that files do not hold.
    """
    name = type(channel).__name__
    if CHANNELS.get(name) is not type(channel):
        must = f"be one of {', '.join(CHANNELS)} to be written to a file"
        raise argument_error("channel", must, f"is {channel!r}")
    if isinstance(channel, Kraus):
        return {name: channel.to_plain()}
    if isinstance(channel.strength, Strength):
        check_known(channel.argument, channel.strength)
    return {name: to_plain(channel.strength)}


def compose(channels: Iterable[Channel]) -> BlochMap | TransferMatrix:
    """One map of Bloch vectors for `channels`, applied in their order.

    Returns:
        BlochMap if all of them have one, as the named channels do; TransferMatrix otherwise.
    """
    composed: BlochMap | TransferMatrix = BlochMap()
    for channel in channels:
        later = channel.bloch_map()
        if isinstance(composed, BlochMap) and isinstance(later, BlochMap):
            composed = composed.then(later)
        else:
            composed = composed.transfer_matrix().then(later.transfer_matrix())
    return composed


def compose_around_pairs(
    processes: Iterable[NoiseProcess],
) -> tuple[list[BlochMap | TransferMatrix], list[Number]]:
    """Noise after an entangling layer: what acts on wires, and between that what acts on pairs.

    Returns:
        One map of Bloch vectors more than there are `TwoWireDepolarizing`, and the factor of each of
        these; they act in turns, a map first and last.
    """
    between: list[list[Channel]] = [[]]
    factors: list[Number] = []
    for process in processes:
        if isinstance(process, TwoWireDepolarizing):
            factors.append(process.factor)
            between.append([])
        else:
            between[-1].append(cast(Channel, process))
    return [compose(channels) for channels in between], factors


def _complete(operators: Any) -> NDArray[np.complex128]:
    """Kraus operators as an array of their own, with rounding errors of their sum mended."""
    if isinstance(operators, Tensor):
        if operators.requires_grad:
            raise _not_operators("have a gradient, which nothing would follow")
        if operators.layout != torch.strided or operators.is_meta:
            raise _not_operators("is a tensor that is sparse or has no values")
        operators = operators.detach().to("cpu", torch.complex128).resolve_conj().resolve_neg().numpy()
    try:
        array = np.array(operators, dtype=np.complex128)
    except (TypeError, ValueError, RuntimeError):  # the last from tensors in a list, with a gradient
        raise _not_operators(f"is {operators!r:.60}") from None
    if array.ndim not in (3, 4) or array.shape[-2:] != (2, 2) or not array.size:
        raise _not_operators(f"has shape {array.shape}")
    if not np.isfinite(array).all():
        raise _not_operators("holds infinities or NaN")
    total = np.einsum("...kba,...kbc->...ac", array.conj(), array)
    error = np.abs(total - np.eye(2)).max()
    if not error <= _ROUNDING:
        must = "be complete: the sum of K^dagger K must be the identity"
        raise argument_error("operators", must, f"is off by {error:.2g}")
    if error > 1e-14:
        values, vectors = np.linalg.eigh(total)
        root = vectors / np.sqrt(values)[..., None, :] @ vectors.conj().swapaxes(-1, -2)
        array = array @ root[..., None, :, :]
    return array


def _not_operators(but: str) -> Exception:
    must = "be finite numbers of shape (k, 2, 2) or (n_wires, k, 2, 2)"
    return argument_error("operators", must, but)


def stack(numbers: Sequence[complex | Tensor], like: Tensor) -> Tensor:
    """Numbers and tensors that broadcast together along a new last axis; dtype and device of `like`."""
    if not any(isinstance(number, Tensor) for number in numbers):
        return torch.tensor(numbers, dtype=like.dtype, device=like.device)
    tensors = [torch.as_tensor(number, dtype=like.dtype, device=like.device) for number in numbers]
    return torch.stack(torch.broadcast_tensors(*tensors), dim=-1)  # type: ignore[no-untyped-call]


def _root(number: Number) -> Number:
    """Square root of a number or tensor; its slope at 0, which is infinite, counts as 0 there."""
    if isinstance(number, Tensor):
        number = number.clamp(min=torch.finfo(number.dtype).tiny)
    return number**0.5
