"""Circuits on sqdr's own engine: which method evaluates one, and what it is given."""

from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from sqdr.backends.native import kernels
from sqdr.backends.native.autograd import (
    Compiled,
    Evaluation,
    Tensors,
    are_plain,
    evaluate,
    is_traced,
    is_transformed,
)
from sqdr.backends.native.causal_cone import CausalCone
from sqdr.backends.native.method import N_GENERAL, Method, Name, Shape
from sqdr.backends.native.pauli_vector import PauliVector
from sqdr.backends.native.statevector import Statevector
from sqdr.backends.native.two_blocks import TwoBlocks
from sqdr.backends.native.unentangled import Unentangled
from sqdr.circuit import Capability, ReuploadCircuit, in_working_dtype, working_dtype
from sqdr.noise import NoiseModel
from sqdr.validation import argument_error, check_real_tensor

METHODS: tuple[type[Method], ...] = (TwoBlocks, Unentangled, CausalCone, Statevector, PauliVector)


class NativeCircuit(ReuploadCircuit):
    """A re-uploading circuit on sqdr's own engine.

    It is evaluated by one of three methods, all exact and with noise:

    - "closed-form": up to two blocks with any pairs, or any number of blocks without pairs. Its cost
      is linear in the number of wires.
    - "causal-cone": two blocks or more on a chain or ring of wires ("linear", "circular"; a ring needs
      2 * n_blocks - 1 <= n_wires). Linear in the number of wires, exponential in that of blocks.
    - "dense": any circuit. Exponential in the number of wires: a statevector, or with noise a vector of
      4 ** n_wires Pauli coefficients.

    Of those that can evaluate the circuit, the cheapest is taken, by the counts in
    `Method.multiply_adds`. On the CPU, values and first gradients come from kernels that Numba compiles
    when the first circuit is evaluated, once on a machine, in some seconds; they use as many threads as
    torch. All else, and everything where there are no kernels, is computed by operations of torch.

    Args:
        method (str or None): one of the above. None, the default, takes the cheapest.
        compile (bool): evaluate and differentiate through `torch.compile`, on any device. It is meant
            for CUDA: on the CPU, where kernels do as much without it, it makes the first pass wait for
            a compiler, 4 seconds for two blocks and 17 for four, and as long once more for another
            number of samples or another dtype. Default: False.
        **options: see `ReuploadCircuit`.

    Raises:
        ValueError: if `method` cannot evaluate the circuit, or if an evaluation would need more memory
            than there is; the latter also when the circuit is called with too many samples.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset({"noise", "float64"})

    def __init__(
        self,
        n_wires: int,
        n_blocks: int,
        *,
        method: Name | None = None,
        compile: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(n_wires, n_blocks, **options)
        self._method = self._chosen(method)
        self._fixed_noise: dict[tuple[torch.dtype, torch.device], Tensors] = {}
        self._compile = compile
        self._compiled: Compiled | None = None
        self._kernels: Evaluation | None = None
        weights = self.weights
        self.refuse_beyond_memory(1, weights.dtype, weights.device, needs_gradient=False)
        self._method.tables_on(weights.device)

    @property
    def method(self) -> Name:
        """The method taken."""
        return self._method.name

    def expectation_values(self, angles: Tensor, weights: Tensor) -> Tensor:
        noise = self._noise_tensors_of(self.realised_noise(angles), angles)
        if len(noise) < N_GENERAL and self._has_kernels_for(angles, weights):
            return evaluate(cast(Evaluation, self._kernels), angles, weights, *noise)
        return self._method.evaluate(angles, weights, noise)

    def evaluate(self, angles: Tensor) -> Tensor:
        self._check_weights()
        if not self._compile or torch.compiler.is_compiling():
            return super().evaluate(angles)
        if self._compiled is None:
            self._compiled = Compiled(self._compiled_values)
        noise: Tensors = ()
        if not self.noise_is_fixed:  # compiled code can neither draw nor report a bad strength
            rows = angles.reshape(-1, self.n_wires, 3).to(working_dtype(angles, self.weights))
            noise = self._noise_tensors_of(self.realised_noise(rows), rows)
        return evaluate(self._compiled, angles, self.weights, *noise)

    def bytes_per_sample(self, dtype: torch.dtype, device: torch.device, needs_gradient: bool) -> int:
        by_kernels = needs_gradient and device.type == "cpu" and self._may_use_kernels()
        if by_kernels:
            return dtype.itemsize * self._method.numbers_per_sample_by_kernels()
        return dtype.itemsize * self._method.numbers_per_sample(needs_gradient)

    def smaller_circuit(self) -> tuple[str, str]:
        return self._method.smaller_circuit()

    def methods(self) -> dict[Name, Method]:
        """The methods that can evaluate the circuit, by name."""
        shape = Shape(self.n_wires, self.n_blocks, self.pairs, self.is_pure)
        able: dict[Name, Method] = {}
        for kind in METHODS:
            if kind.can_evaluate(shape):
                able.setdefault(kind.name, kind(shape))
        return able

    def __getstate__(self) -> dict[str, Any]:
        made_anew: dict[str, Any] = {"_compiled": None, "_fixed_noise": {}, "_kernels": None}
        return self.__dict__ | made_anew

    def _has_kernels_for(self, angles: Tensor, weights: Tensor) -> bool:
        """Whether kernels give what is asked for: numbers on the CPU, and first gradients."""
        return (
            not torch.compiler.is_compiling()
            and angles.is_cpu
            and weights.is_cpu
            and are_plain(angles, weights)
            and self._may_use_kernels()
        )

    def _may_use_kernels(self) -> bool:
        # Within a transform their tables would be tensors of it, without numbers in memory.
        if self._compile or kernels.problem() is not None or is_transformed(()):
            return False
        if self._kernels is None and are_plain():  # their tables are arrays
            with torch.device("cpu"):
                self._kernels = self._method.kernels()
        return self._kernels is not None

    def _check_weights(self) -> None:
        """ValueError if others were set, by which kernels would read beyond their memory."""
        check_real_tensor("weights", self.weights)
        shape = self.n_blocks, self.n_wires, 3
        if self.weights.shape != shape:
            has = f"has shape {tuple(self.weights.shape)}"
            raise argument_error("weights", f"have shape {shape}", has)

    def _chosen(self, name: Name | None) -> Method:
        methods = self.methods()
        if name is None:
            return min(methods.values(), key=lambda method: method.multiply_adds())
        if name not in tuple(methods):  # whatever it is, hashable or not
            able = " or ".join(f'"{name}"' for name in methods)
            raise argument_error("method", f"be {able} for this circuit", f"is {name!r}")
        return methods[name]

    def _compiled_values(self, angles: Tensor, weights: Tensor, *noise: Tensor) -> Tensor:
        """What is compiled; fixed noise is not among the inputs, but part of the code."""

        def values(rows: Tensor, weights: Tensor) -> Tensor:
            tensors = noise or self._method.noise_tensors(self.realised_noise(rows), rows)
            return self._method.values(rows, weights, *tensors)

        return in_working_dtype(values, angles, weights)

    def _noise_tensors_of(self, noise: NoiseModel, like: Tensor) -> Tensors:
        """The noise as the method takes it; kept if it is fixed, since copies to a GPU take time."""
        # A trace or transform may work on tensors without values, of a class or level of their own.
        if (
            is_traced()
            or is_transformed((like,))
            or type(like) is not Tensor
            or not self.noise_is_fixed
        ):
            return self._method.noise_tensors(noise, like)
        key = like.dtype, like.device
        if key not in self._fixed_noise:
            with torch.inference_mode(False):  # what is made in inference mode serves no training
                self._fixed_noise[key] = self._method.noise_tensors(noise, like)
        return self._fixed_noise[key]
