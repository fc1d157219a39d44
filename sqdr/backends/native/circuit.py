"""Circuits on sqdr's own engine: which method evaluates one, and what it is given."""

from decimal import Decimal
from typing import Any, ClassVar

import torch
from torch import Tensor

from sqdr.backends.native import kernels
from sqdr.backends.native.autograd import (
    Compiled,
    Evaluation,
    Tensors,
    are_plain,
    evaluate,
    evaluate_plain,
    is_traced,
    is_transformed,
)
from sqdr.backends.native.causal_cone import CausalCone
from sqdr.backends.native.kernels.scaled import Scaled
from sqdr.backends.native.method import Method, Name, Shape
from sqdr.backends.native.pauli_vector import PauliVector
from sqdr.backends.native.rotation import is_general
from sqdr.backends.native.statevector import Statevector
from sqdr.backends.native.two_blocks import TwoBlocks
from sqdr.backends.native.unentangled import Unentangled
from sqdr.backends.words import Readout
from sqdr.circuit import FAMILY_CAPABILITIES, Capability, ReuploadCircuit, working_dtype
from sqdr.memory import UNCHECKED_BYTES
from sqdr.noise import NoiseModel, Number
from sqdr.validation import argument_error, check_boolean, check_real_tensor

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

    capabilities: ClassVar[frozenset[Capability]] = FAMILY_CAPABILITIES | {
        "noise",
        "device-noise",
        "float64",
    }

    def __init__(
        self,
        n_wires: int,
        n_blocks: int,
        *,
        method: Name | None = None,
        compile: bool = False,
        **options: Any,
    ) -> None:
        compile = check_boolean("compile", compile)
        super().__init__(n_wires, n_blocks, **options)
        words = self.ansatz.observables
        self._readout = Readout(words, self.n_wires, has_shift=self._noise.is_directed)
        has_layers = self.n_blocks > 1 and self.pairs
        n_pair_noises = len(self._noise.strengths_of_pairs()) if has_layers else 0
        self._shape = Shape(self.ansatz, self._readout.words, self.is_pure, n_pair_noises)
        self._method = self._chosen(method)
        self._fixed_noise: dict[tuple[torch.dtype, torch.device], Tensors] = {}
        self._compile = compile
        self._compiled: Compiled | None = None
        self._kernels: dict[bool, Evaluation | None] = {}
        self._shapes = tuple(self.ansatz.shapes().items())
        # A subclass may define more than `_as_usual` knows.
        self._is_usual = type(self) is NativeCircuit and self.noise_is_fixed
        self._no_couplings = torch.empty(self.n_blocks - 1, 0, device="cpu")
        weights = self.weights
        self._most_bytes: int | None = None
        super().refuse_beyond_memory(1, weights.dtype, weights.device, needs_gradient=False)
        self._method.tables_on(weights.device)

    @property
    def method(self) -> Name:
        """The method taken."""
        return self._method.name

    def methods(self) -> dict[Name, Method]:
        """The methods that can evaluate the circuit, by name."""
        able: dict[Name, Method] = {}
        for kind in METHODS:
            if kind.problem(self._shape) is None:
                able.setdefault(kind.name, kind(self._shape))
        return able

    def methods_left_out(self) -> dict[Name, str]:
        """Why each of the other methods is not taken, by name."""
        able = self.methods()
        left_out: dict[Name, str] = {}
        for kind in METHODS:
            if kind.name in able:
                # Costs may be beyond any float.
                costs = (Decimal(m.multiply_adds()) for m in (able[kind.name], self._method))
                reason: str | None = (
                    f"takes {next(costs) / next(costs):.2g} times as many multiply-adds"
                )
            else:
                reason = kind.problem(self._shape)
            left_out.setdefault(kind.name, reason or "")
        del left_out[self.method]
        return left_out

    def expectation_values(self, angles: Tensor, weights: Tensor) -> Tensor:
        noise = self._noise_tensors_of(self.realised_noise(angles), angles)
        of_method, of_readout = self._split(noise)
        of_wires, *of_pairs = of_method
        by_kernels: Evaluation | None = None
        if not any(each.requires_grad or each.shape[2] > 1 for each in of_pairs):
            by_kernels = self._kernels_for(is_general(of_wires), angles, weights)
        couplings = self._no_couplings
        if by_kernels is None or self._shape.has_couplings:
            couplings = self.couplings_for(angles)
        inputs = angles, weights, couplings
        if by_kernels is not None and (couplings is self._no_couplings or are_plain(couplings)):
            values = evaluate_plain(by_kernels, *inputs, *of_method)
        else:
            values = self._method.evaluate(*inputs, of_method)
        return self._with_readout(values, of_readout)

    def evaluate(self, angles: Tensor) -> Tensor:
        self._check_trained()
        if not self._compile or torch.compiler.is_compiling():
            values = self._as_usual(angles) if self._is_usual else None
            return super().evaluate(angles) if values is None else values
        if self._compiled is None:
            self._compiled = Compiled(self._compiled_values)
        noise: Tensors = ()
        if not self.noise_is_fixed:  # compiled code can neither draw nor report a bad strength
            rows = self.rows_of(angles, self.scales, working_dtype(angles, self.weights))
            noise = self._noise_tensors_of(self.realised_noise(rows), rows)
        return evaluate(self._compiled, angles, *self.trained_tensors(), *noise)

    def refuse_beyond_memory(
        self, samples: int, dtype: torch.dtype, device: torch.device, needs_gradient: bool
    ) -> None:
        if self._most_bytes is None:  # in any dtype, and by kernels or without them
            known = (self.bytes_per_sample(torch.float64, device, needs) for needs in (False, True))
            by_operations = torch.float64.itemsize * self._method.numbers_per_sample(True)
            self._most_bytes = max(by_operations, *known)
        if samples * self._most_bytes > UNCHECKED_BYTES:
            super().refuse_beyond_memory(samples, dtype, device, needs_gradient)

    def _as_usual(self, angles: Tensor) -> Tensor | None:
        """Values by kernels, without the questions to which most circuits have the same answers.

        These take as long as the kernels of a small circuit. None where they must be asked.
        """
        trained, dtype = [getattr(self, name) for name, _ in self._shapes], angles.dtype
        is_of_one_dtype = all(tensor.dtype == dtype for tensor in trained)
        if angles.dim() != 2 or not is_of_one_dtype or dtype not in (torch.float32, torch.float64):
            return None
        if torch.is_autocast_enabled("cpu"):
            return None
        noise = self._fixed_noise.get((dtype, angles.device))
        if noise is None:
            noise = self._noise_tensors_of(self._noise, angles)
        if len(noise) > 1:
            return None
        by_kernels = self._kernels_for(is_general(noise[0]), angles, *trained)
        if by_kernels is None:
            return None
        couplings = trained[-1] if self._shape.has_couplings else self._no_couplings
        others = trained[0], couplings, *noise
        if self.scales is not None:
            return evaluate_plain(Scaled(by_kernels), angles, self.scales, *others)
        return evaluate_plain(by_kernels, angles, *others)

    def bytes_per_sample(self, dtype: torch.dtype, device: torch.device, needs_gradient: bool) -> int:
        is_trained = any(getattr(self, name).requires_grad for name in self._noise_tensors)
        is_fixed = not (self._shape.n_pair_noises and (is_trained or self._drawn_strengths))
        on_cpu = needs_gradient and device.type == "cpu"
        if on_cpu and is_fixed and self._kernels_of(False) is not None:
            return dtype.itemsize * self._method.numbers_per_sample_by_kernels()
        return dtype.itemsize * self._method.numbers_per_sample(needs_gradient)

    def smaller_circuit(self) -> tuple[str, str]:
        return self._method.smaller_circuit()

    def __getstate__(self) -> dict[str, Any]:
        made_anew: dict[str, Any] = {"_compiled": None, "_kernels": {}, "_most_bytes": None}
        return self.__dict__ | made_anew | {"_fixed_noise": {}}

    def _kernels_for(self, has_general_noise: bool, *inputs: Tensor) -> Evaluation | None:
        """Kernels, where they give what is asked for: numbers on the CPU, and first gradients."""
        if (
            torch.compiler.is_compiling()
            or not all(tensor.is_cpu for tensor in inputs)
            or not are_plain(*inputs)
        ):
            return None
        return self._kernels_of(has_general_noise)

    def _kernels_of(self, has_general_noise: bool) -> Evaluation | None:
        # Within a transform their tables would be tensors of it, without numbers in memory.
        if self._compile or kernels.problem() is not None or is_transformed(()):
            return None
        if has_general_noise not in self._kernels and are_plain():  # their tables are arrays
            with torch.device("cpu"):
                self._kernels[has_general_noise] = self._method.kernels(has_general_noise)
        return self._kernels.get(has_general_noise)

    def _check_trained(self) -> None:
        """ValueError if others were set, by which kernels would read beyond their memory."""
        for name, shape in self._shapes:
            tensor = getattr(self, name)
            check_real_tensor(name, tensor)
            if tensor.shape != shape:
                raise argument_error(name, f"have shape {shape}", f"has shape {tuple(tensor.shape)}")

    def _with_readout(self, values: Tensor, tensors: Tensors) -> Tensor:
        if not tensors:
            return values
        scale, *shift = tensors
        return self._readout(values, scale, *(shift or (0.0,)))

    def _split(self, noise: Tensors) -> tuple[Tensors, Tensors]:
        """The tensors of the method, and those of readout error."""
        n_readout = 1 + self._noise.is_directed if self._noise.has_readout_error else 0
        return noise[: len(noise) - n_readout], noise[len(noise) - n_readout :]

    def _chosen(self, name: Name | None) -> Method:
        methods = self.methods()
        if name is None:
            return min(methods.values(), key=lambda method: method.multiply_adds())
        if name not in tuple(methods):  # whatever it is, hashable or not
            able = " or ".join(f'"{name}"' for name in methods)
            raise argument_error("method", f"be {able} for this circuit", f"is {name!r}")
        return methods[name]

    def _compiled_values(self, angles: Tensor, *inputs: Tensor) -> Tensor:
        """What is compiled; fixed noise is not among the inputs, but part of the code."""
        given = iter(inputs)
        weights = next(given)
        scales = next(given) if self.scaling else None
        couplings = next(given) if self.entangler == "ZZ" else self.couplings_for(weights)
        noise = tuple(given)

        def values(rows: Tensor, weights: Tensor) -> Tensor:
            tensors = noise or self._new_noise_tensors(self.realised_noise(rows), rows)
            of_method, of_readout = self._split(tensors)
            found = self._method.values(rows, weights, couplings.to(rows.dtype), *of_method)
            return self._with_readout(found, of_readout)

        return self.in_working_dtype(values, angles, weights, scales)

    def _new_noise_tensors(self, noise: NoiseModel, like: Tensor) -> Tensors:
        """The noise as the method takes it, then what `Readout` takes, if bits are read wrongly."""
        readout: list[Number] = []
        if noise.has_readout_error:
            readout = [noise.readout_scale, *[noise.readout_shift] * noise.is_directed]
        of_readout = (torch.as_tensor(n, dtype=like.dtype, device=like.device) for n in readout)
        return (*self._method.noise_tensors(noise, like), *of_readout)

    def _noise_tensors_of(self, noise: NoiseModel, like: Tensor) -> Tensors:
        """The noise as the method takes it; kept if it is fixed, since copies to a GPU take time."""
        # A trace or transform may work on tensors without values, of a class or level of their own.
        if (
            is_traced()
            or is_transformed((like,))
            or type(like) is not Tensor
            or not self.noise_is_fixed
        ):
            return self._new_noise_tensors(noise, like)
        key = like.dtype, like.device
        if key not in self._fixed_noise:
            with torch.inference_mode(False):  # what is made in inference mode serves no training
                self._fixed_noise[key] = self._new_noise_tensors(noise, like)
        return self._fixed_noise[key]
