"""The data re-uploading circuit: its ansatz, weights and checks. Backends evaluate it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from sqdr.noise import NoiseModel
from sqdr.validation import argument_error, check_integer, check_number

Entanglement = Literal["none", "linear", "circular"] | Sequence[Sequence[int]]
Capability = Literal["noise", "shots", "float64"]
Pairs = tuple[tuple[int, int], ...]


class ReuploadCircuit(nn.Module, ABC):
    """A data re-uploading circuit as a PyTorch layer: angles in, one <Z> for each wire out.

    The circuit starts in |0...0>. In each block, each wire i is rotated by the data and then by the
    weights of the block,

        Rot(x[3i], x[3i+1], x[3i+2])  then  Rot(w[l,i,0], w[l,i,1], w[l,i,2]),

    with angles in radians and Rot(phi, theta, omega) = RZ(omega) RY(theta) RZ(phi), PennyLane's
    convention. Between blocks, and not after the last, a CZ acts on each pair of `entanglement`. The
    output is <Z_i> of every wire. Data re-uploading: Perez-Salinas et al., Quantum 4, 226 (2020); this
    ansatz: arXiv 2512.03895.

    Calling a circuit maps angles (Tensor of shape (..., 3 * n_wires)), in radians, to expectation
    values (Tensor of shape (..., n_wires)) of the same dtype and device. Half precision is computed in
    float32; where angles and weights differ in precision, the higher one is used.

    A backend subclasses this and defines `expectation_values`, nothing else.

    Args:
        n_wires (int): number of wires (qubits).
        n_blocks (int): number of re-uploading blocks.
        entanglement (str or sequence of pairs): "none", "linear" (pairs (i, i+1)), "circular" (linear
            and (n_wires-1, 0), each distinct pair once), or the pairs of wires themselves.
        noise (NoiseModel or None): noise of the circuit. Default: None.
        shots (int or None): number of measurements an expectation value is estimated from; None, the
            default, computes it exactly.
        init_mode (str): "normal" draws the initial weights from a standard normal distribution
            truncated to `init_range`, "uniform" draws them uniformly from it. Default: "normal".
        init_range (pair of floats): in radians. Default: (0, 2 * pi).
        dtype (torch.dtype or None): dtype of the weights. Default: torch's default dtype.

    Attributes:
        weights (Parameter of shape (n_blocks, n_wires, 3)): trainable angles, in radians.
        pairs (tuple of pairs of ints): the pairs of wires that a CZ layer acts on.

    Raises:
        ValueError: if an argument is out of its domain, or the backend cannot do what is asked for.
    """

    #: What the backend can do beyond exact, noiseless float32 evaluation.
    capabilities: ClassVar[frozenset[Capability]] = frozenset()

    def __init__(
        self,
        n_wires: int,
        n_blocks: int,
        *,
        entanglement: Entanglement = "linear",
        noise: NoiseModel | None = None,
        shots: int | None = None,
        init_mode: Literal["normal", "uniform"] = "normal",
        init_range: Sequence[float] = (0.0, 2 * math.pi),
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.n_wires = check_integer("n_wires", n_wires, 1)
        self.n_blocks = check_integer("n_blocks", n_blocks, 1)
        self.entanglement = entanglement
        self.pairs = entangled_pairs(entanglement, self.n_wires)
        if noise is not None and not isinstance(noise, NoiseModel):
            raise argument_error("noise", "be a NoiseModel or None", f"is {noise!r}")
        self.noise = noise or None
        self.shots = None if shots is None else check_integer("shots", shots, 1)
        self.init_mode = init_mode
        self.init_range = _checked_range(init_mode, init_range)
        dtype = dtype or torch.get_default_dtype()
        if dtype not in (torch.float32, torch.float64):
            raise argument_error("dtype", "be torch.float32 or torch.float64", f"is {dtype}")
        self._refuse_unless_capable("noise", "noise", self.noise, None)
        self._refuse_unless_capable("shots", "shots", self.shots, None)
        self._refuse_unless_capable("float64", "dtype", dtype, torch.float32)
        self.weights = nn.Parameter(torch.empty(self.n_blocks, self.n_wires, 3, dtype=dtype))
        self.reset_parameters()

    @abstractmethod
    def expectation_values(self, angles: Tensor, weights: Tensor) -> Tensor:
        """Evaluate the circuit, noise and readout error included.

        Args:
            angles (Tensor of shape (batch, n_wires, 3)): in radians, batch at least 1.
            weights (Tensor of shape (n_blocks, n_wires, 3)): in radians, of the dtype of `angles`.

        Returns:
            Tensor of shape (batch, n_wires): <Z> of every wire, differentiable in both arguments.
        """

    def forward(self, angles: Tensor) -> Tensor:
        n_features = 3 * self.n_wires
        if not isinstance(angles, Tensor) or not angles.is_floating_point():
            kind = angles.dtype if isinstance(angles, Tensor) else type(angles).__name__
            raise argument_error("angles", "be a floating-point tensor", f"is {kind}")
        if angles.dim() == 0 or angles.shape[-1] != n_features:
            has = "is a scalar" if angles.dim() == 0 else f"has {angles.shape[-1]}"
            wires = "1 wire" if self.n_wires == 1 else f"{self.n_wires} wires"
            raise argument_error("angles", f"have {n_features} features for {wires}", has)
        if angles.numel() == 0:
            return angles.new_zeros(*angles.shape[:-1], self.n_wires)
        return self._in_working_dtype(angles)

    def _in_working_dtype(self, angles: Tensor) -> Tensor:
        """<Z> (..., n_wires) for checked angles (..., 3 * n_wires), in a dtype that is exact enough."""
        dtype = torch.promote_types(angles.dtype, self.weights.dtype)
        if dtype in (torch.float16, torch.bfloat16):
            dtype = torch.float32
        inputs = angles.reshape(-1, self.n_wires, 3).to(dtype), self.weights.to(dtype)
        if torch.is_autocast_enabled(angles.device.type):
            with torch.autocast(angles.device.type, enabled=False):
                values = self.expectation_values(*inputs)
        else:  # entering the context costs as much as a tenth of a small circuit
            values = self.expectation_values(*inputs)
        return values.reshape(*angles.shape[:-1], self.n_wires).to(angles.dtype)

    def reset_parameters(self) -> None:
        """Draw the weights anew, from torch's default random generator."""
        low, high = self.init_range
        if self.init_mode == "normal":
            nn.init.trunc_normal_(self.weights, a=low, b=high)
        else:
            nn.init.uniform_(self.weights, low, high)

    def to_backend(self, name: str, **options: Any) -> ReuploadCircuit:
        """The same circuit, with a copy of its weights, on another backend.

        Weights keep their device, and their dtype where the backend can compute in it (they are
        rounded to float32 otherwise).

        Args:
            name (str): one of `sqdr.backend_names()`.
            **options: further options of that backend. `shots` are not taken over unless given.
        """
        from sqdr.registry import load_backend

        backend = load_backend(name)
        if "float64" in backend.capabilities:
            options.setdefault("dtype", self.weights.dtype)
        else:
            options.setdefault("dtype", torch.float32)
        options.setdefault("entanglement", self.entanglement)
        options.setdefault("noise", self.noise)
        with torch.random.fork_rng(devices=[]):  # the initial weights drawn here are thrown away
            circuit = backend(
                self.n_wires,
                self.n_blocks,
                init_mode=self.init_mode,
                init_range=self.init_range,
                **options,
            )
        circuit.load_state_dict(self.state_dict())
        circuit.weights.requires_grad_(self.weights.requires_grad)
        return circuit.to(self.weights.device).train(self.training)

    def extra_repr(self) -> str:
        parts = [f"n_wires={self.n_wires}", f"n_blocks={self.n_blocks}"]
        parts.append(f"entanglement={self.entanglement!r}")
        if self.noise is not None:
            parts.append(f"noise={self.noise!r}")
        if self.shots is not None:
            parts.append(f"shots={self.shots}")
        return ", ".join(parts)

    def _refuse_unless_capable(
        self, capability: Capability, argument: str, value: Any, basic: Any
    ) -> None:
        """Accept only the `basic` value of an argument if this backend lacks `capability`."""
        if value != basic and capability not in self.capabilities:
            from sqdr.registry import backends_with

            able = ", ".join(backends_with(capability)) or "none"
            raise argument_error(
                argument,
                f"be {basic} for a {type(self).__name__}",
                f"is {value}; backends that can: {able}",
            )


def entangled_pairs(entanglement: Entanglement, n_wires: int) -> Pairs:
    """The pairs of wires of a CZ layer.

    Args:
        entanglement (str or sequence of pairs): as in `ReuploadCircuit`.
        n_wires (int): number of wires.

    Raises:
        ValueError: on an unknown name, a wire that does not exist, a pair of a wire with itself, or a
            pair listed twice.
    """
    linear = tuple((i, i + 1) for i in range(n_wires - 1))
    match entanglement:
        case "none":
            return ()
        case "linear":
            return linear
        case "circular":
            return linear + (((n_wires - 1, 0),) if n_wires > 2 else ())
    return _checked_pairs(entanglement, n_wires)


def _checked_pairs(pairs: Any, n_wires: int) -> Pairs:
    must = f'be "none", "linear", "circular" or distinct pairs of wires 0 to {n_wires - 1}'
    if isinstance(pairs, str) or not isinstance(pairs, Sequence):
        raise argument_error("entanglement", must, f"is {pairs!r}")
    checked: list[tuple[int, int]] = []
    for pair in pairs:
        if not _is_pair(pair, n_wires):
            raise argument_error("entanglement", must, f"holds {pair!r}")
        first, second = pair
        if (first, second) in checked or (second, first) in checked:
            raise argument_error("entanglement", must, f"holds {(first, second)} twice")
        checked.append((first, second))
    return tuple(checked)


def _is_pair(pair: Any, n_wires: int) -> bool:
    return (
        isinstance(pair, Sequence)
        and len(pair) == 2
        and all(type(wire) is int and 0 <= wire < n_wires for wire in pair)
        and pair[0] != pair[1]
    )


def _checked_range(init_mode: str, init_range: Sequence[float]) -> tuple[float, float]:
    if init_mode not in ("normal", "uniform"):
        raise argument_error("init_mode", 'be "normal" or "uniform"', f"is {init_mode!r}")
    must = "be a pair (low, high) of angles with low < high"
    if not isinstance(init_range, Sequence) or len(init_range) != 2:
        raise argument_error("init_range", must, f"is {init_range!r}")
    low, high = (check_number("init_range", bound) for bound in init_range)
    if low >= high:
        raise argument_error("init_range", must, f"is {init_range!r}")
    return low, high
