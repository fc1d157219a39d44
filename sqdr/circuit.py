"""The data re-uploading circuit: its ansatz, weights and checks. Backends evaluate it."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Literal, Union, get_args

import torch
from torch import Tensor, nn

from sqdr.ansatz import (
    FAMILY,
    TRAINED,
    Ansatz,
    Entanglement,
    Entangler,
    Inputs,
    Observables,
    Pairs,
    all_wires,
    axes_of,
    shown_word,
)
from sqdr.bounds import MAX_SHOTS, MAX_SIZE
from sqdr.export import (
    Gate,
    Version,
    check_version,
    gates_of,
    openqasm,
    pennylane_function,
    qiskit_circuit,
)
from sqdr.gates import angles_of_u3, turns_of
from sqdr.memory import check_memory, check_size
from sqdr.noise import Kraus, NoiseModel, Strength, check_probabilities, check_realised
from sqdr.processes import OwnGenerator
from sqdr.validation import (
    argument_error,
    check_boolean,
    check_integer,
    check_number,
    check_real_tensor,
)

#: What backends may declare beyond the published circuit, exact, noiseless and in float32; see
#: `ReuploadCircuit.capabilities`.
Capability = Literal[
    "noise",
    "device-noise",
    "shots",
    "float64",
    "axes",
    "inputs",
    "couplings",
    "observables",
]
#: Those of a backend that evaluates every member of the family.
FAMILY_CAPABILITIES: frozenset[Capability] = frozenset({"axes", "inputs", "couplings", "observables"})
#: What the pairs of a chain and the observables take of Python's memory for each wire, at least.
_BYTES_OF_A_WIRE = 200
#: Of a module: what is called before and after it, and how.
_HOOKS = (
    *("_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called"),
    *("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs"),
    *("_backward_hooks", "_backward_pre_hooks", "_is_full_backward_hook"),
)
#: What stands for a backend: its name, or its class.
Backend = Union[str, "type[ReuploadCircuit]"]


class ReuploadCircuit(nn.Module, ABC):
    """A data re-uploading circuit as a PyTorch layer: angles in, expectation values out.

    The circuit starts in |0...0>. In each block, each wire is rotated by the data and then by the
    weights of the block; between blocks, and not after the last, an entangler acts on each pair of
    wires; at the end the observables are measured. With the defaults, wire i is rotated by

        Rot(x[3i], x[3i+1], x[3i+2])  then  Rot(w[l,i,0], w[l,i,1], w[l,i,2])

    in block l, with Rot(phi, theta, omega) = RZ(omega) RY(theta) RZ(phi), PennyLane's convention; the
    entangler is CZ; and the outputs are <Z_i> of every wire. Data re-uploading: Perez-Salinas et al.,
    Quantum 4, 226 (2020); the ansatz of the defaults: arXiv 2512.03895.

    Calling a circuit maps angles (Tensor of shape (..., n_features)), in radians, to expectation
    values (Tensor of shape (..., n_outputs)) of the same dtype and device. Features are ordered by
    block if `inputs` is "split", then by wire, then by letter of the encoding. Half precision is
    computed in float32; where angles and weights differ in precision, the higher one is used. A large
    angle is as exact as its dtype: in float32 one of 1e6 is rounded, and added to another, in steps of
    0.06. An infinite angle or NaN gives NaN on the wires that depend on it and in the gradient of the
    weights, and changes no other sample. Several threads may call one circuit at the same time.

    A backend subclasses this and defines `expectation_values`. That suffices; it may also define
    `bytes_per_sample`, with `method` and `smaller_circuit`, so that what does not fit into memory is
    refused, and `evaluate`, to take the angles as they come. `ansatz`, `couplings`, `is_pure`,
    `noise_is_fixed`, `realised_noise`, `needs_gradient` and `generator` tell it what it needs to know.
    What it evaluates beyond the published circuit it declares in `capabilities`:

    - "noise": noise on single wires; "device-noise": also `TwoWireDepolarizing` and `ReadoutError`;
    - "shots": it measures on its device;
    - "float64": it computes in it;
    - "axes": `encoding` and `rotation` of any axes (`ansatz.encoding`, `ansatz.rotation`);
    - "inputs": angles that differ between blocks, by `inputs="split"` or `scaling`;
    - "couplings": `entangler="ZZ"`, whose angles are `couplings`;
    - "observables": any Pauli words (`ansatz.observables`).

    Args:
        n_wires (int): number of wires (qubits).
        n_blocks (int): number of re-uploading blocks.
        encoding (str): axes of the rotations that take data, in the order in which they act: "Rot",
            which is "ZYZ", or any word of X, Y and Z, such as "X" or "ZXZ". Each letter takes one
            feature of each wire. Default: "Rot".
        rotation (str): likewise of the rotations that are trained. Default: "Rot".
        inputs (str): "repeat", every block reads the same features, or "split", each block reads its
            own, n_blocks times as many. Default: "repeat".
        scaling (bool): whether each angle of the data has a trained factor in each block, `scales`.
            Default: False.
        entangler (str): "CZ", or "ZZ": exp(-i theta/2 Z Z) with a trained angle for each pair of each
            layer, `couplings`. Default: "CZ".
        entanglement (str or sequence of pairs): "none", "linear" (pairs (i, i+1)), "circular" (linear
            and (n_wires-1, 0), each distinct pair once), "full" (every pair), or the pairs of wires
            themselves. Default: "linear".
        observables (str or sequence of str): "Z", "X" or "Y" of every wire, or Pauli words such as "Z0"
            and "X1 X2", each an output. Default: "Z".
        noise (NoiseModel or None): noise of the circuit. Default: None. Its tensors become parameters
            and buffers of the circuit, named for instance "after_rotation_0_BitFlip", "readout_error".
        shots (int or None): number of measurements an expectation value is estimated from; None, the
            default, computes it exactly. A backend with the capability "shots" measures on its device.
            On any other, each output is drawn for itself from its exact distribution, so that
            correlations between them are not sampled, and has the gradient of the exact value.
        init_mode (str): "normal" draws the initial weights from a standard normal distribution
            truncated to `init_range`, "uniform" draws them uniformly from it; couplings are drawn in
            the same way. Default: "normal".
        init_range (pair of floats): in radians. Default: (0, 2 * pi).
        dtype (torch.dtype or None): dtype of the weights. Default: torch's default dtype.

    Attributes:
        weights (Parameter of shape (n_blocks, n_wires, letters of rotation)): trained angles, in
            radians.
        scales (Parameter of shape (n_blocks, n_wires, letters of encoding), or None): factors of the
            angles of the data, at first 1; None without `scaling`.
        couplings (Parameter of shape (n_blocks - 1, len(pairs)), or None): angles of the "ZZ"
            entanglers, in radians; None with "CZ".
        pairs (tuple of pairs of ints): the pairs of wires that an entangler acts on.
        ansatz (Ansatz): the words above spelt out.
        n_features, n_outputs (ints): numbers of angles that are read and of values that come out.
        shots (int or None): as above; may be changed at any time.

    Raises:
        ValueError: if an argument is out of its domain, or the backend cannot do what is asked for;
            when the circuit is called, if a strength of the noise has left [0, 1] in training (on CUDA
            and in compiled code an asynchronous assertion reports that), or if the samples would need
            more memory than there is.
    """

    #: What the backend can do itself, beyond the published circuit, exact, noiseless and in float32.
    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    scales: nn.Parameter | None
    couplings: nn.Parameter | None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        declared: Any = cls.capabilities
        known = get_args(Capability)
        if not (isinstance(declared, set | frozenset) and declared <= set(known)):
            must = f"be a set of {', '.join(known)}"
            raise argument_error(f"{cls.__name__}.capabilities", must, f"is {declared!r}")

    def __init__(
        self,
        n_wires: int,
        n_blocks: int,
        *,
        encoding: str = "Rot",
        rotation: str = "Rot",
        inputs: Inputs = "repeat",
        scaling: bool = False,
        entangler: Entangler = "CZ",
        entanglement: Entanglement = "linear",
        observables: Observables = "Z",
        noise: NoiseModel | None = None,
        shots: int | None = None,
        init_mode: Literal["normal", "uniform"] = "normal",
        init_range: Sequence[float] = (0.0, 2 * math.pi),
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        n_wires = check_integer("n_wires", n_wires, 1, MAX_SIZE)
        n_blocks = check_integer("n_blocks", n_blocks, 1, MAX_SIZE)
        if noise is not None and not isinstance(noise, NoiseModel):
            raise argument_error("noise", "be a NoiseModel or None", f"is {noise!r}")
        self.shots = shots
        self.init_mode = init_mode
        self.init_range = checked_range(init_mode, init_range)
        dtype = dtype or torch.get_default_dtype()
        if dtype not in (torch.float32, torch.float64):
            raise argument_error("dtype", "be torch.float32 or torch.float64", f"is {dtype}")
        axes = axes_of("encoding", encoding), axes_of("rotation", rotation)
        # Before the ansatz, whose pairs and words take more memory than the weights of a wire.
        largest = "n_wires" if n_wires >= n_blocks else "n_blocks"
        n_weights, cpu = n_blocks * n_wires * len(axes[1]), torch.device("cpu")
        check_size("n_wires", n_wires, _BYTES_OF_A_WIRE, cpu, "pairs and observables")
        check_size(largest, n_weights, dtype.itemsize, torch.get_default_device(), "weights")
        self._ansatz = Ansatz.chosen(
            n_wires,
            n_blocks,
            encoding=encoding,
            rotation=rotation,
            inputs=inputs,
            scaling=scaling,
            entangler=entangler,
            entanglement=entanglement,
            observables=observables,
        )
        self._refuse_unless_capable("noise", "noise", noise or None, None)
        needs_more = noise and (noise.is_directed or noise.strengths_of_pairs())
        self._refuse_unless_capable("device-noise", "noise", noise, "on single wires", not needs_more)
        self._refuse_unless_capable("float64", "dtype", dtype, torch.float32)
        self._refuse_unless_capable("axes", "encoding", encoding, "Rot", axes[0] == "ZYZ")
        self._refuse_unless_capable("axes", "rotation", rotation, "Rot", axes[1] == "ZYZ")
        self._refuse_unless_capable("inputs", "inputs", inputs, "repeat")
        self._refuse_unless_capable("inputs", "scaling", scaling, False)
        self._refuse_unless_capable("couplings", "entangler", entangler, "CZ")
        is_published = self._ansatz.observables == all_wires("Z", n_wires)
        self._refuse_unless_capable("observables", "observables", observables, "Z", is_published)
        self._encoding, self._rotation = encoding, rotation
        self._entanglement = entanglement if isinstance(entanglement, str) else self.pairs
        is_letter = isinstance(observables, str)
        self._observables: Observables = (
            observables if is_letter else tuple(map(shown_word, self._ansatz.observables))
        )
        shapes = self._ansatz.shapes()
        self.weights = nn.Parameter(torch.empty(shapes["weights"], dtype=dtype))
        for name in ("scales", "couplings"):
            tensor = torch.empty(shapes[name], dtype=dtype) if name in shapes else None
            self.register_parameter(name, None if tensor is None else nn.Parameter(tensor))
        self._own_generator = OwnGenerator()
        self._register_noise(noise or NoiseModel())
        self.reset_parameters()

    @abstractmethod
    def expectation_values(self, angles: Tensor, weights: Tensor) -> Tensor:
        """Evaluate the circuit, noise and readout error included.

        Args:
            angles (Tensor of shape (batch, n_wires, 3)): in radians, batch at least 1. The last axis
                has the letters of `ansatz.encoding`; angles that differ between blocks, scaled
                already, have the shape (n_blocks, batch, n_wires, letters).
            weights (Tensor of shape (n_blocks, n_wires, 3)): in radians, of the dtype of `angles`. The
                last axis has the letters of `ansatz.rotation`.

        Returns:
            Tensor of shape (batch, n_outputs): the expectation value of each observable, differentiable
            in both arguments and in `couplings`.
        """

    def forward(self, angles: Tensor) -> Tensor:
        self._check_angles(angles)
        if angles.numel() == 0:  # its gradients are zeros
            trained = sum(0 * tensor.sum() for tensor in self.trained_tensors())
            nothing = (angles.sum() + trained).to(angles.dtype)
            return nothing.expand(*angles.shape[:-1], self.n_outputs)
        if not torch.compiler.is_compiling():
            self.refuse_beyond_memory(
                angles.numel() // self.n_features,
                working_dtype(angles, self.weights),
                angles.device,
                self.needs_gradient(angles),
            )
        if self.shots is None or "shots" in self.capabilities:
            return self.evaluate(angles)
        exact = self.evaluate(angles.to(working_dtype(angles, self.weights)))
        return self._measured(exact, self.shots).to(angles.dtype)

    def _check_angles(self, angles: Tensor) -> None:
        check_real_tensor("angles", angles)
        if angles.dim() == 0 or angles.shape[-1] != self.n_features:
            has = "is a scalar" if angles.dim() == 0 else f"has {angles.shape[-1]}"
            wires = "1 wire" if self.n_wires == 1 else f"{self.n_wires} wires"
            if self.ansatz.n_inputs > 1:
                wires += f" in {self.n_blocks} blocks"
            raise argument_error("angles", f"have {self.n_features} features for {wires}", has)

    def evaluate(self, angles: Tensor) -> Tensor:
        """Expectation values of checked angles; a backend that takes them as they come defines this.

        Here they are brought into the form that `expectation_values` takes.

        Args:
            angles (Tensor of shape (..., n_features)): in radians, at least one sample.

        Returns:
            Tensor of shape (..., n_outputs), of the dtype of `angles`.
        """
        return self.in_working_dtype(self.expectation_values, angles, self.weights, self.scales)

    def in_working_dtype(
        self,
        evaluate: Callable[[Tensor, Tensor], Tensor],
        angles: Tensor,
        weights: Tensor,
        scales: Tensor | None,
    ) -> Tensor:
        """Expectation values, evaluated in the working dtype and returned in that of the angles.

        Args:
            evaluate (function): as `expectation_values`.
            angles (Tensor of shape (..., n_features)): in radians.
            weights (Tensor of shape (n_blocks, n_wires, letters of rotation)): in radians.
            scales (Tensor of shape (n_blocks, n_wires, letters of encoding), or None): of the angles.

        Returns:
            Tensor of shape (..., n_outputs)
        """
        dtype = working_dtype(angles, weights)
        inputs = self.rows_of(angles, scales, dtype), in_dtype(weights, dtype)
        device = angles.device.type
        # What has no numbers has no autocast either, and torch refuses to be asked.
        if device != "meta" and torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):
                values = evaluate(*inputs)
        else:  # entering the context costs as much as a tenth of a small circuit
            values = evaluate(*inputs)
        shape = inputs[0].shape[-3], self.n_outputs
        if values.shape != shape:
            must = f"return expectation values of shape {tuple(shape)}"
            raise argument_error("expectation_values", must, f"returns {tuple(values.shape)}")
        if angles.dim() != 2:
            values = values.reshape(*angles.shape[:-1], shape[1])
        return in_dtype(values, angles.dtype)

    def rows_of(self, angles: Tensor, scales: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Angles (..., n_features) in the form that `expectation_values` takes, scaled, in a dtype."""
        ansatz = self._ansatz
        of_wires = ansatz.n_wires, len(ansatz.encoding)
        if not ansatz.differs_between_blocks:
            return in_dtype(angles.reshape(-1, *of_wires), dtype)
        in_blocks = angles.reshape(-1, ansatz.n_inputs, *of_wires).to(dtype)
        if scales is not None:
            in_blocks = in_blocks * scales.to(dtype)
        return in_blocks.transpose(0, 1)

    @property
    def method(self) -> str:
        """How the circuit is evaluated, in one word for messages."""
        return type(self).__name__

    def bytes_per_sample(
        self,
        dtype: torch.dtype,  # noqa: ARG002
        device: torch.device,  # noqa: ARG002
        needs_gradient: bool,  # noqa: ARG002
    ) -> int:
        """Memory that the evaluation of one sample takes; 0, the default, where nobody knows.

        Args:
            dtype (torch.dtype): torch.float32 or torch.float64, in which is computed.
            device (torch.device): where.
            needs_gradient (bool): whether what a gradient needs is kept.
        """
        return 0

    def smaller_circuit(self) -> tuple[str, str]:
        """The argument that must change if not even one sample fits into memory, and how."""
        return "n_wires", "be smaller"

    def refuse_beyond_memory(
        self, samples: int, dtype: torch.dtype, device: torch.device, needs_gradient: bool
    ) -> None:
        """Raise ValueError if an evaluation would need more memory than there is.

        This is done before each evaluation. A backend that knows `bytes_per_sample` does it for one
        sample at the end of its own `__init__`, too, so that a circuit beyond memory is never made.

        Args:
            samples (int): samples evaluated at a time.
            dtype, device, needs_gradient: as in `bytes_per_sample`.
        """
        per_sample = self.bytes_per_sample(dtype, device, needs_gradient)
        check_memory(samples, per_sample, device, self.method, self.smaller_circuit)

    def needs_gradient(self, angles: Tensor) -> bool:
        """Whether the values of `angles` are to be differentiated, so that what that needs is kept."""
        if not torch.is_grad_enabled():
            return False
        if angles.requires_grad or any(tensor.requires_grad for tensor in self.trained_tensors()):
            return True
        return any(getattr(self, name).requires_grad for name in self._noise_tensors)

    def couplings_for(self, angles: Tensor) -> Tensor:
        """The couplings in the dtype of `angles`, of shape (n_blocks - 1, 0) where there are none."""
        if self.couplings is None:
            return angles.new_empty(self.n_blocks - 1, 0)
        return self.couplings.to(angles.dtype)

    def trained_tensors(self) -> list[Tensor]:
        """The tensors of the gates: weights, and scales and couplings if there are any."""
        return [t for name in TRAINED if (t := getattr(self, name)) is not None]

    @property
    def is_pure(self) -> bool:
        """Whether the noise, if any, leaves the state pure, as readout error alone does."""
        return not (self._noise.after_rotation or self._noise.after_entangler)

    @property
    def noise_is_fixed(self) -> bool:
        """Whether the noise is the same in every evaluation: neither trained, loaded nor drawn."""
        return not (self._noise_tensors or self._drawn_strengths)

    @property
    def ansatz(self) -> Ansatz:
        return self._ansatz

    @property
    def n_wires(self) -> int:
        return self._ansatz.n_wires

    @property
    def n_blocks(self) -> int:
        return self._ansatz.n_blocks

    @property
    def n_features(self) -> int:
        return self._ansatz.n_features

    @property
    def n_outputs(self) -> int:
        return self._ansatz.n_outputs

    @property
    def encoding(self) -> str:
        return self._encoding

    @property
    def rotation(self) -> str:
        return self._rotation

    @property
    def inputs(self) -> Inputs:
        return self._ansatz.inputs

    @property
    def scaling(self) -> bool:
        return self._ansatz.scaling

    @property
    def entangler(self) -> Entangler:
        return self._ansatz.entangler

    @property
    def pairs(self) -> Pairs:
        return self._ansatz.pairs

    @property
    def entanglement(self) -> Entanglement:
        return self._entanglement

    @property
    def observables(self) -> Observables:
        return self._observables

    def family(self) -> dict[str, Any]:
        """The arguments that make this member of the family: entanglement, and those not by default."""
        values = {name: getattr(self, name) for name in FAMILY}
        return {n: v for n, v in values.items() if n == "entanglement" or v != FAMILY[n]}

    @property
    def shots(self) -> int | None:
        return self._shots

    @shots.setter
    def shots(self, shots: int | None) -> None:
        self._shots = None if shots is None else check_integer("shots", shots, 1, MAX_SHOTS)

    @property
    def noise(self) -> NoiseModel | None:
        """The noise model, with the strengths that it has now."""
        now = {name: getattr(self, name) for name in self._noise_tensors}
        return self._noise.with_strengths(now) or None

    @property
    def generator(self) -> torch.Generator | None:
        """Where noise and shots are drawn from, on the CPU; None for a circuit that draws neither.

        It is made when it is first asked for, with a seed from torch's default generator. The
        `state_dict` does not hold its state; `generator.get_state()` gives it. In a process that was
        forked, and in a worker of a DataLoader, it is seeded anew, so that each draws for itself: by
        its state and the order of the forks, or by the worker's seed, which follows torch's.
        """
        if self.shots is None and not self._drawn_strengths:
            return None
        return self._own_generator.get()

    def generator_to_draw_from(self) -> torch.Generator:
        """`generator`, for a draw that is made now; each draw of a backend takes it from here.

        Raises:
            RuntimeError: within a backward pass, where `torch.utils.checkpoint` evaluates again and
                would be given another draw, and a wrong gradient.
        """
        return self._own_generator.to_draw_from("A circuit with drawn noise or shots")

    def realised_noise(self, angles: Tensor) -> NoiseModel:
        """The noise of one evaluation; a backend calls this once in `expectation_values`.

        Args:
            angles (Tensor of shape (batch, n_wires, letters), or (n_blocks, batch, n_wires, letters)):
                those given to `expectation_values`.

        Returns:
            NoiseModel, empty for a noiseless circuit. Each strength is a float, or a Tensor of three
            axes that broadcasts to (n_blocks, batch, n_wires), of the dtype of `angles`; noise after an
            entangling layer is in the place of the block before it, and the last axis of two-wire noise
            is that of the pairs. `readout_error` is a float, a Tensor that broadcasts to (n_wires,), or
            a `ReadoutError` of such.

        Raises:
            ValueError: if a strength has left [0, 1].
        """
        if self.noise_is_fixed:
            return self._noise
        realised: dict[str, Tensor] = {}
        for name, argument in self._noise_tensors.items():
            tensor = getattr(self, name)
            check_probabilities(argument, tensor)
            is_readout = name.startswith("readout_error")
            realised[name] = tensor if is_readout else _with_three_axes(tensor)
        for name, strength in self._drawn_strengths.items():
            drawn = strength.realise(angles, self.n_blocks, self.generator_to_draw_from())
            check_realised(strength, drawn, (self.n_blocks, *angles.shape[-3:-1]))
            realised[name] = _with_three_axes(drawn)
        in_dtype = {name: tensor.to(angles.dtype) for name, tensor in realised.items()}
        return self._noise.with_strengths(in_dtype)

    def _register_noise(self, noise: NoiseModel) -> None:
        """Keep the model, and its tensors as parameters and buffers of the circuit."""
        self._noise_tensors: dict[str, str] = {}
        self._drawn_strengths: dict[str, Strength] = {}
        of_pairs = noise.strengths_of_pairs()
        for channel in (*noise.after_rotation, *noise.after_entangler):
            if isinstance(channel, Kraus) and channel.n_wires not in (None, self.n_wires):
                must = f"be for all wires, or for each of {self.n_wires}"
                raise argument_error("Kraus.operators", must, f"are for {channel.n_wires}")
        for name, argument, strength in noise.named_strengths():
            if isinstance(strength, Strength):
                self._drawn_strengths[name] = strength
            elif isinstance(strength, Tensor):
                size, of_each = self.n_wires, "wires"
                if name in of_pairs:
                    size, of_each = len(self.pairs), "pairs"
                if strength.numel() not in (1, size):
                    must = f"have one value, or one for each of {size} {of_each}"
                    raise argument_error(argument, must, f"has {strength.numel()}")
                self._noise_tensors[name] = argument
                if isinstance(strength, nn.Parameter):
                    self.register_parameter(name, strength)
                elif strength.requires_grad:  # by whom it was given
                    self.register_buffer(name, strength)
                else:  # a copy, so that loading another state changes neither model nor other circuits
                    self.register_buffer(name, strength.to(self.weights.device, copy=True))
        self._noise = noise.with_strengths(dict.fromkeys(self._noise_tensors, math.nan))

    def _measured(self, values: Tensor, shots: int) -> Tensor:
        """Estimates of the expectation values `values`, each from `shots` measurements of its own."""
        probabilities = ((1 + values.detach().double().cpu()) / 2).clamp(0, 1)
        ups = torch.binomial(
            torch.full_like(probabilities, shots),
            probabilities,
            generator=self.generator_to_draw_from(),
        )
        # What is added is zero, and has the gradient of the exact values.
        return (2 * ups / shots - 1).to(values) + (values - values.detach())

    def reset_parameters(self) -> None:
        """Draw weights and couplings anew, from torch's default random generator; scales become 1."""
        low, high = self.init_range
        for tensor in (self.weights, self.couplings):
            if tensor is None or tensor.numel() == 0:
                continue
            if self.init_mode == "normal":
                nn.init.trunc_normal_(tensor, a=low, b=high)
            else:
                nn.init.uniform_(tensor, low, high)
        if self.scales is not None:
            nn.init.ones_(self.scales)

    def to_backend(self, backend: Backend, **options: Any) -> ReuploadCircuit:
        """The same circuit, with a copy of its weights, on another backend.

        Weights keep their device, and their dtype where the backend can compute in it (they are
        rounded to float32 otherwise).

        Args:
            backend (str or class): one of `sqdr.backend_names()`, or a subclass of this class.
            **options: further options of that backend. `shots` are not taken over unless given. The
                state of the generator is, so that random noise is the same; and hooks are.
        """
        from sqdr.registry import create_circuit, load_backend, registered_name

        if "float64" in load_backend(backend).capabilities:
            options.setdefault("dtype", self.weights.dtype)
        else:
            options.setdefault("dtype", torch.float32)
        options = self.family() | options
        options.setdefault("noise", self._copied_noise())
        with torch.random.fork_rng(devices=[]):  # the initial weights drawn here are thrown away
            circuit = create_circuit(
                backend,
                self.n_wires,
                self.n_blocks,
                init_mode=self.init_mode,
                init_range=self.init_range,
                **options,
            )
        for own, its in zip(self.trained_tensors(), circuit.trained_tensors(), strict=True):
            with torch.no_grad():
                its.copy_(own)
            its.requires_grad_(own.requires_grad)
        for name in _HOOKS:
            setattr(circuit, name, copy.copy(getattr(self, name)))
        if self._drawn_strengths:
            self._own_generator.get()
            circuit._own_generator = copy.deepcopy(self._own_generator)
        circuit = circuit.to(self.weights.device).train(self.training)
        if registered_name(type(self)) is None:
            self._refuse_other_values(circuit)
        return circuit

    def _refuse_other_values(self, circuit: ReuploadCircuit) -> None:
        """ValueError unless both have the same values; a class without a name may have other gates."""
        angles = torch.linspace(-3, 3, 2 * self.n_features).reshape(2, -1).to(self.weights)
        with torch.no_grad():
            here, there = (copy.deepcopy(one) for one in (self, circuit))
            here.shots = there.shots = None
            difference = (here(angles) - there(angles)).abs().max().item()
        if difference > 1e-3:
            must = "compute what ReuploadCircuit describes to change its backend"
            raise argument_error(type(self).__name__, must, f"is off by {difference:.2g}")

    def _copied_noise(self) -> NoiseModel | None:
        """The noise with strengths of its own; what is computed by a parametrisation is a Parameter."""
        copies: dict[int, Any] = {}  # of strengths that two channels share, too
        now = {
            name: copy.deepcopy(strength, copies)
            if strength.is_leaf
            else nn.Parameter(strength.detach().clone())
            for name, strength in ((name, getattr(self, name)) for name in self._noise_tensors)
        }
        return self._noise.with_strengths(now) or None

    def to_openqasm(
        self, angles: Tensor, version: Version = "3.0", *, measure: bool = False
    ) -> list[str]:
        """The circuit of each sample as a program in OpenQASM, without any other package.

        The rotations of a wire in a block, of the data and of the weights, are one gate u3, whose
        angles are numbers; ZZ entanglers are cx, rz, cx. Qubit i of the register `q` is wire i. Noise,
        shots and readout error are not exported.

        Args:
            angles (Tensor of shape (..., n_features)): in radians.
            version (str): "3.0" or "2.0". Default: "3.0".
            measure (bool): whether every wire is measured in the Z basis at the end, into the bits `c`,
                whatever the observables are. Default: False, the program ends before measurements.

        Returns:
            list of str: a program for each sample, the samples in the order of `angles.reshape(-1,
            n_features)`.

        Raises:
            ValueError: if the angles have another shape or are not finite, or there is no such version.
        """
        version, measure = check_version(version), check_boolean("measure", measure)
        return [openqasm(self.ansatz, gates, version, measure) for gates in self._gates(angles)]

    def to_qiskit(self, angles: Tensor, *, measure: bool = False) -> list[Any]:
        """The circuit of each sample as a `qiskit.QuantumCircuit`, with the gates of `to_openqasm`.

        Args:
            angles (Tensor of shape (..., n_features)): in radians.
            measure (bool): as in `to_openqasm`. Default: False.

        Returns:
            list of QuantumCircuits: one for each sample. Qubit i is wire i.

        Raises:
            ValueError: if the angles have another shape or are not finite.
            MissingPackageError: if Qiskit is not installed.
        """
        measure = check_boolean("measure", measure)
        return [qiskit_circuit(self.ansatz, gates, measure) for gates in self._gates(angles)]

    def to_pennylane(self) -> Callable[[Any], list[Any]]:
        """The circuit as a quantum function of PennyLane, with the weights as they are now.

        Noise and shots are not exported; the PennyLane backend has both.

        Returns:
            function: of angles of shape (..., n_features), in radians, in any of PennyLane's
            interfaces, to be made a QNode of: `qml.QNode(circuit.to_pennylane(),
            qml.device("default.qubit"))`. It applies the gates to the wires 0 to n_wires - 1 and
            returns a list of n_outputs measurements, `qml.expval` of each observable. The QNode is
            differentiable in the angles.

        Raises:
            MissingPackageError: if PennyLane is not installed.
        """
        named = {name: getattr(self, name) for name in TRAINED}
        plain = {name: None if tensor is None else tensor.tolist() for name, tensor in named.items()}
        return pennylane_function(self.ansatz, **plain)

    def _gates(self, angles: Tensor) -> Iterator[Iterator[Gate]]:
        """The gates of each sample, as numbers."""
        self._check_angles(angles)
        if not angles.isfinite().all():
            raise argument_error("angles", "be finite to be exported", "holds infinities or NaN")
        with torch.no_grad():
            rows = self.rows_of(angles.to(self.weights.device), self.scales, torch.float64)
            turns = turns_of(self.ansatz, rows, self.weights.double())
            couplings = self.couplings_for(rows).tolist()
        return (gates_of(self.ansatz, sample, couplings) for sample in angles_of_u3(turns).tolist())

    def extra_repr(self) -> str:
        parts = [f"n_wires={self.n_wires}", f"n_blocks={self.n_blocks}"]
        parts += [f"{name}={value!r}" for name, value in self.family().items()]
        if self.noise is not None:
            parts.append(f"noise={self.noise!r}")
        if self.shots is not None:
            parts.append(f"shots={self.shots}")
        return ", ".join(parts)

    def _refuse_unless_capable(
        self,
        capability: Capability,
        argument: str,
        value: Any,
        basic: Any,
        is_basic: bool | None = None,
    ) -> None:
        """Accept only the `basic` value of an argument if this backend lacks `capability`."""
        if is_basic is None:
            is_basic = value == basic
        if not is_basic and capability not in self.capabilities:
            from sqdr.registry import built_in_with

            able = f"{', '.join(built_in_with(capability))}, and sqdr.backends_with({capability!r})"
            raise argument_error(
                argument,
                f"be {basic} for a {type(self).__name__}",
                f"is {value}; backends that can: {able}",
            )


def _with_three_axes(strength: Tensor) -> Tensor:
    """What broadcasts to (n_blocks, batch, n_wires), with all of these axes."""
    return strength.reshape(*(1,) * (3 - strength.dim()), *strength.shape)


def working_dtype(angles: Tensor, weights: Tensor) -> torch.dtype:
    """The higher precision of the two, single at least."""
    dtype = angles.dtype
    if dtype != weights.dtype:
        dtype = torch.promote_types(dtype, weights.dtype)
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def in_dtype(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """As `Tensor.to`, which takes its time even where there is nothing to do."""
    return tensor if tensor.dtype == dtype else tensor.to(dtype)


def checked_range(init_mode: str, init_range: Sequence[float]) -> tuple[float, float]:
    """The bounds of initial weights as floats; ValueError unless mode and bounds are such."""
    if init_mode not in ("normal", "uniform"):
        raise argument_error("init_mode", 'be "normal" or "uniform"', f"is {init_mode!r}")
    must = "be a pair (low, high) of angles with low < high"
    if not isinstance(init_range, Sequence) or len(init_range) != 2:
        raise argument_error("init_range", must, f"is {init_range!r}")
    low, high = (check_number("init_range", bound) for bound in init_range)
    if low >= high:
        raise argument_error("init_range", must, f"is {init_range!r}")
    return low, high
