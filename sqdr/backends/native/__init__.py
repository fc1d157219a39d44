"""sqdr's own engine: exact, batched, differentiable, with noise, needing torch alone."""

from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from sqdr.backends.native import bloch, causal_cone, dense
from sqdr.backends.native.autograd import Compiled, Tensors, evaluate
from sqdr.backends.native.rotation import block_quaternions, noise_of_matrices, transfer_matrices
from sqdr.circuit import (
    Capability,
    Entanglement,
    Pairs,
    ReuploadCircuit,
    entangled_pairs,
    in_working_dtype,
    working_dtype,
)
from sqdr.memory import check_memory
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
        compile (bool): evaluate and differentiate through `torch.compile`, which makes later calls two
            to four times as fast. The first forward and backward pass then take 4 seconds for two
            blocks and 17 for four (15 for two where the process has compiled nothing yet), less where
            PyTorch's own cache on disk has the result; so do, once more, the first with another number
            of samples or another dtype. Default: False.
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
        # Readout error alone leaves the state pure.
        self._is_pure = not (self._noise.after_rotation or self._noise.after_entangler)
        self._topology = _topology(self.pairs, self.n_wires)
        costs = self._multiply_adds()
        if method is not None and method not in costs:
            able = " or ".join(f'"{name}"' for name in costs)
            raise argument_error("method", f"be {able} for this circuit", f"is {method!r}")
        self.method: Method = min(costs, key=lambda name: costs[name]) if method is None else method
        self._fixed_noise: dict[tuple[torch.dtype, torch.device], Tensors] = {}
        self._compile = compile
        self._compiled: Compiled | None = None
        self._refuse_beyond_memory(1, self.weights, keep=False)
        self._register_tables()

    def expectation_values(self, angles: Tensor, weights: Tensor) -> Tensor:
        if not torch.compiler.is_compiling():
            self._refuse_beyond_memory(len(angles), angles, self._keeps(angles, weights))
        return self._values(
            angles, weights, self._noise_tensors_of(self.realised_noise(angles), angles)
        )

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_compiled": None, "_fixed_noise": {}}  # made anew where used next

    def _evaluated(self, angles: Tensor) -> Tensor:
        if not self._compile or torch.compiler.is_compiling():
            return super()._evaluated(angles)
        samples = angles.numel() // (3 * self.n_wires)
        self._refuse_beyond_memory(samples, angles, self._keeps(angles, self.weights))
        if self._compiled is None:
            self._compiled = Compiled(self._compiled_values)
        noise: Tensors = ()
        if not self._noise_is_fixed:  # compiled code can neither draw nor report a bad strength
            rows = angles.reshape(-1, self.n_wires, 3).to(working_dtype(angles, self.weights))
            noise = self._noise_tensors_of(self.realised_noise(rows), rows)
        return evaluate(self._compiled, angles, self.weights, *noise)

    def _compiled_values(self, angles: Tensor, weights: Tensor, *noise: Tensor) -> Tensor:
        """What is compiled; fixed noise is not among the inputs, but part of the code."""

        def values(rows: Tensor, weights: Tensor) -> Tensor:
            tensors = noise or self._new_noise_tensors(self._noise, rows)
            return self._values(rows, weights, tensors)

        return in_working_dtype(values, angles, weights)

    def _values(self, angles: Tensor, weights: Tensor, noise: Tensors) -> Tensor:
        """<Z>, by the method.

        Args:
            angles, weights (Tensors): as in `expectation_values`.
            noise (sequence of Tensors): see `_new_noise_tensors`.
        """
        if self.method == "closed-form" and self.n_blocks == 2:
            return self._two_blocks(angles, weights, noise)
        if self.method == "dense" and self._is_pure:
            readout = noise
            quaternions = block_quaternions(angles, weights)
            signs = self._cz_signs.to(angles.dtype), self._z_signs.to(angles.dtype)
            values = dense.statevector(quaternions, *signs)
        else:
            scale, offset, *readout = noise
            if self.method == "causal-cone":
                ring = self._topology == "ring"
                values = causal_cone.expectation_values(angles, weights, scale, offset, ring=ring)
            elif self.method == "dense":
                matrices = transfer_matrices(angles, weights, scale, offset)
                cz_signs = self._cz_signs.to(angles.dtype)
                values = dense.pauli_vector(matrices, self._cz_source, cz_signs)
            else:
                values = bloch.unentangled(angles, weights, scale, offset)
        for readout_scale in readout:
            values = readout_scale * values
        return values

    def _two_blocks(self, angles: Tensor, weights: Tensor, noise: Tensors) -> Tensor:
        if self._topology in ("none", "other"):
            neighbours = partial(bloch.on_table, neighbours=self._neighbours)
            return bloch.two_blocks(angles, weights, noise, neighbours)[0]
        if self._topology == "chain":
            evaluation = bloch.TwoBlocks(noise, bloch.on_chain, bloch.on_chain_gradient)
        else:
            evaluation = bloch.TwoBlocks(noise, bloch.on_ring, bloch.on_ring_gradient)
        if not self._noise_is_fixed:  # its gradient may be wanted too
            return evaluation.function(angles, weights)
        return evaluate(evaluation, angles, weights)

    def _noise_tensors_of(self, noise: NoiseModel, like: Tensor) -> Tensors:
        """`_new_noise_tensors`; kept if the noise is fixed, since each copy to a GPU takes time."""
        # A trace may work on tensors without values, of a class of their own.
        is_traced = torch.compiler.is_compiling() or type(like) is not Tensor
        if is_traced or not self._noise_is_fixed:
            return self._new_noise_tensors(noise, like)
        key = like.dtype, like.device
        if key not in self._fixed_noise:
            with torch.inference_mode(False):  # what is made in inference mode serves no training
                self._fixed_noise[key] = self._new_noise_tensors(noise, like)
        return self._fixed_noise[key]

    def _new_noise_tensors(self, noise: NoiseModel, like: Tensor) -> Tensors:
        """The noise as the method takes it, readout error last if there is any."""
        maps = compose(noise.after_rotation), compose(noise.after_entangler)
        if self.method == "closed-form" and self.n_blocks == 2:
            return bloch.noise_of_two_blocks(*maps, noise.readout_scale, like)
        tensors: list[Tensor] = []
        if not (self.method == "dense" and self._is_pure):
            tensors += noise_of_matrices(*maps, self.n_blocks, like)
        if isinstance(noise.readout_error, Tensor) or noise.readout_error != 0:
            tensors.append(torch.as_tensor(noise.readout_scale, dtype=like.dtype, device=like.device))
        return tensors

    def _register_tables(self) -> None:
        """Constants of the method, as buffers: they move with the circuit, and are not saved."""
        tables: dict[str, Tensor] = {}
        if self.method == "dense" and self._is_pure:
            tables["_cz_signs"] = dense.cz_signs(self.pairs, self.n_wires)
            tables["_z_signs"] = dense.z_signs(-(-self.n_wires // 2))
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
        if self.method == "dense":  # without a gradient: the state, its copies and the tables
            size, copies = (2 * 2**n, 6) if self._is_pure else (4**n, 9)
            numbers = size * (n * blocks if keep else copies)
        elif self.method == "causal-cone":
            numbers = n * (64 * blocks + 8**blocks // (8 if keep else 16))
        else:
            numbers = n * 24 * blocks
        return numbers * element_size

    def _refuse_beyond_memory(self, samples: int, like: Tensor, keep: bool) -> None:
        """Raise ValueError if `samples` of the dtype and device of `like` do not fit."""
        per_sample = self._bytes_per_sample(like.element_size(), keep)
        check_memory(samples, per_sample, like.device, self.method, self._smaller_circuit)

    def _smaller_circuit(self) -> tuple[str, str]:
        """The argument that must change if not even one sample fits, and how."""
        if self.method != "dense":
            return "n_blocks", "be smaller"
        must = "be smaller, or `n_blocks` be smaller"
        if self._topology == "other":
            must += ' (at most 2), or `entanglement` be "linear" or "circular"'
        return "n_wires", must


def _topology(pairs: Pairs, n_wires: int) -> Topology:
    """The graph that the pairs of wires make."""
    graph = {frozenset(pair) for pair in pairs}
    names: dict[Topology, Entanglement] = {"none": "none", "chain": "linear", "ring": "circular"}
    for topology, entanglement in names.items():
        if graph == {frozenset(pair) for pair in entangled_pairs(entanglement, n_wires)}:
            return topology
    return "other"
