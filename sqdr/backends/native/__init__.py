"""sqdr's own engine: exact, batched, differentiable, with noise, needing torch alone."""

from collections.abc import Callable, Sequence
from functools import partial
from types import FunctionType, MethodType
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from sqdr.backends.native import bloch, causal_cone, dense
from sqdr.backends.native.autograd import evaluate
from sqdr.backends.native.memory import UNCHECKED_BYTES, available_bytes
from sqdr.backends.native.rotation import block_quaternions, transfer_matrices
from sqdr.circuit import Capability, Entanglement, Pairs, ReuploadCircuit, entangled_pairs
from sqdr.noise import NoiseModel, compose
from sqdr.validation import argument_error

Method = Literal["closed-form", "causal-cone", "dense"]
Topology = Literal["none", "chain", "ring", "other"]


class NativeCircuit(ReuploadCircuit):
    """A re-uploading circuit on sqdr's own engine.

    It is evaluated by one of three methods, all exact and with noise:

    - "closed-form": up to two blocks with any pairs, or any number of blocks without pairs. Its cost
      is linear in the number of wires.
    - "causal-cone": two blocks or more on a chain or ring of wires ("linear", "circular"; a ring needs
      2 * n_blocks - 1 <= n_wires). Linear in the number of wires, exponential in that of blocks.
    - "dense": any circuit. Exponential in the number of wires: a statevector, or with noise a vector of
      4 ** n_wires Pauli coefficients.

    The closed form is taken where it applies, and otherwise whichever of the two others needs fewer
    multiply-adds by the counts in `_multiply_adds`.

    Args:
        method (str or None): one of the above. None, the default, takes the cheapest.
        compile (bool): evaluate through `torch.compile`, which makes later calls two to four times as
            fast. The first call then takes 5 to 15 seconds (30 where PyTorch has compiled nothing
            yet), less where PyTorch's own cache on disk has the result; so does, once more, the first
            call with another number of samples or another dtype. Default: False.
        **options: see `ReuploadCircuit`.

    Attributes:
        method (str): the method taken.

    Raises:
        ValueError: if `method` cannot evaluate the circuit, or if an evaluation would need more memory
            than there is; the latter also when the circuit is called with too many samples.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"noise", "float64"})

    _neighbours: Tensor
    _cz_signs: Tensor
    _cz_source: Tensor
    _z_signs: Tensor

    def __init__(
        self,
        n_wires: int,
        n_blocks: int,
        *,
        method: Method | None = None,
        compile: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(n_wires, n_blocks, **options)
        noise = self.noise or NoiseModel()
        self._channels = compose(noise.after_rotation)
        self._entangler_channels = compose(noise.after_entangler)
        self._readout_scale = noise.readout_scale
        # Readout error alone leaves the state pure.
        self._is_pure = not (noise.after_rotation or noise.after_entangler)
        self._topology = _topology(self.pairs, self.n_wires)
        costs = self._multiply_adds()
        if method is not None and method not in costs:
            able = " or ".join(f'"{name}"' for name in costs)
            raise argument_error("method", f"be {able} for this circuit", f"is {method!r}")
        self.method: Method = min(costs, key=lambda name: costs[name]) if method is None else method
        self._noise: dict[tuple[torch.dtype, torch.device], Sequence[Tensor]] = {}
        self._compile = compile
        self._compiled: Callable[[Tensor], Tensor] | None = None
        self._refuse_beyond_memory(1, self.weights, keep=False)
        self._register_tables()

    def expectation_values(self, angles: Tensor, weights: Tensor) -> Tensor:
        if not torch.compiler.is_compiling():
            self._refuse_beyond_memory(len(angles), angles, _keeps(angles, weights))
        noise = self._channels, self._entangler_channels
        if self.method == "causal-cone":
            ring = self._topology == "ring"
            values = causal_cone.expectation_values(angles, weights, *noise, ring=ring)
        elif self.method == "dense" and self._is_pure:
            quaternions = block_quaternions(angles, weights)
            signs = self._cz_signs.to(angles.dtype), self._z_signs.to(angles.dtype)
            values = dense.statevector(quaternions, *signs)
        elif self.method == "dense":
            matrices = transfer_matrices(angles, weights, *noise)
            values = dense.pauli_vector(matrices, self._cz_source, self._cz_signs.to(angles.dtype))
        elif self.n_blocks == 2:  # readout error included
            return self._two_blocks(angles, weights)
        else:
            values = bloch.unentangled(angles, weights, *noise)
        return values if self._readout_scale == 1 else self._readout_scale * values

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_compiled": None, "_noise": {}}  # made anew where it is used next

    def _in_working_dtype(self, angles: Tensor) -> Tensor:
        if not self._compile or torch.compiler.is_compiling():
            return super()._in_working_dtype(angles)
        samples = angles.numel() // (3 * self.n_wires)
        self._refuse_beyond_memory(samples, angles, _keeps(angles, self.weights))
        if self._compiled is None:
            self._compiled = self._compiled_evaluation()
        return self._compiled(angles)

    def _compiled_evaluation(self) -> Callable[[Tensor], Tensor]:
        # PyTorch counts recompilations per code object, over all circuits of the process, and raises
        # beyond eight: so each circuit compiles a code object of its own.
        evaluate = ReuploadCircuit._in_working_dtype
        own = FunctionType(evaluate.__code__.replace(), evaluate.__globals__, evaluate.__name__)
        return torch.compile(MethodType(own, self), fullgraph=True)

    def _noise_of_two_blocks(self, like: Tensor) -> Sequence[Tensor]:
        """`bloch.noise_of_two_blocks` as tensors, kept: each call would copy them to a GPU anew."""

        def tensors() -> Sequence[Tensor]:
            numbers = bloch.noise_of_two_blocks(
                self._channels, self._entangler_channels, self._readout_scale
            )
            return torch.tensor(numbers, dtype=like.dtype, device=like.device).unbind()

        if torch.compiler.is_compiling():
            return tensors()  # constants of the graph
        key = like.dtype, like.device
        if key not in self._noise:
            with torch.inference_mode(False):  # what is made in inference mode serves no training
                self._noise[key] = tensors()
        return self._noise[key]

    def _two_blocks(self, angles: Tensor, weights: Tensor) -> Tensor:
        noise = self._noise_of_two_blocks(angles)
        match self._topology:
            case "chain":
                evaluation = bloch.TwoBlocks(noise, bloch.on_chain, bloch.on_chain_gradient)
            case "ring":
                evaluation = bloch.TwoBlocks(noise, bloch.on_ring, bloch.on_ring_gradient)
            case _:
                neighbours = partial(bloch.on_table, neighbours=self._neighbours)
                return bloch.two_blocks(angles, weights, noise, neighbours)[0]
        return evaluate(evaluation, angles, weights)

    def _register_tables(self) -> None:
        """Constants of the method, as buffers: they move with the circuit, and are not saved."""
        tables: dict[str, Tensor] = {}
        if self.method == "dense" and self._is_pure:
            tables["_cz_signs"] = dense.cz_signs(self.pairs, self.n_wires)
            tables["_z_signs"] = dense.z_signs(self.n_wires)
        elif self.method == "dense":
            tables["_cz_source"], tables["_cz_signs"] = dense.cz_permutation(self.pairs, self.n_wires)
        elif self.method == "closed-form" and self._topology in ("none", "other"):
            tables["_neighbours"] = bloch.neighbour_table(self.pairs, self.n_wires)
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)

    def _multiply_adds(self) -> dict[Method, int]:
        """Multiply-adds per sample of each method that can evaluate the circuit."""
        n, blocks = self.n_wires, self.n_blocks
        costs: dict[Method, int] = {}
        if blocks <= 2 or not self.pairs:
            costs["closed-form"] = n * 16 * blocks
        chain = self._topology == "chain"
        ring = self._topology == "ring" and 2 * blocks - 1 <= n
        if blocks > 1 and (chain or ring):
            costs["causal-cone"] = n * (64 * blocks + 8**blocks // 8)
        costs["dense"] = n * blocks * (8 * 2**n if self._is_pure else 4 * 4**n)
        return costs

    def _bytes_per_sample(self, element_size: int, keep: bool) -> int:
        """Memory that one sample takes, `keep` meaning that what a gradient needs is kept."""
        n, blocks = self.n_wires, self.n_blocks
        numbers: int
        if self.method == "dense":  # without a gradient: the state, its copy and the tables
            numbers = (2 * 2**n if self._is_pure else 4**n) * (n * blocks if keep else 6)
        elif self.method == "causal-cone":
            numbers = n * (64 * blocks + 8**blocks // (8 if keep else 16))
        else:
            numbers = n * 16 * blocks
        return numbers * element_size

    def _refuse_beyond_memory(self, samples: int, like: Tensor, keep: bool) -> None:
        """Raise ValueError if `samples` of the dtype and device of `like` do not fit."""
        per_sample = self._bytes_per_sample(like.element_size(), keep)
        needed = samples * per_sample
        if needed <= UNCHECKED_BYTES:
            return
        available = available_bytes(like.device)
        if available is None or needed <= available:
            return
        free = f"with the {self.method} method, and {available:.3g} are available"
        if per_sample <= available:
            must = f"hold at most {available // per_sample} samples at a time"
            raise argument_error("angles", must, f"{samples} need {needed:.3g} bytes {free}")
        need = f"{per_sample:.3g} bytes {free}"
        if self.method == "dense":
            must = "be smaller, or `n_blocks` be smaller"
            if self._topology == "other":
                must += ' (at most 2), or `entanglement` be "linear" or "circular"'
            raise argument_error("n_wires", must, f"one sample of {self.n_wires} wires needs {need}")
        raise argument_error("n_blocks", "be smaller", f"one sample of {self.n_blocks} needs {need}")


def _keeps(angles: Tensor, weights: Tensor) -> bool:
    """Whether what a gradient needs is kept."""
    return torch.is_grad_enabled() and (angles.requires_grad or weights.requires_grad)


def _topology(pairs: Pairs, n_wires: int) -> Topology:
    """The graph that the pairs of wires make."""
    graph = {frozenset(pair) for pair in pairs}
    names: dict[Topology, Entanglement] = {"none": "none", "chain": "linear", "ring": "circular"}
    for topology, entanglement in names.items():
        if graph == {frozenset(pair) for pair in entangled_pairs(entanglement, n_wires)}:
            return topology
    return "other"
