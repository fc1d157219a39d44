"""SQDR-CNN: spiking front end, re-uploading circuit, linear head."""

from __future__ import annotations

import copy
import inspect
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, cast

import torch
from torch import Tensor, nn

from sqdr.ansatz import Entanglement
from sqdr.bounds import MAX_ARGUMENTS
from sqdr.circuit import Backend, ReuploadCircuit
from sqdr.noise import NoiseModel
from sqdr.registry import create_circuit, registered_name
from sqdr.spiking import FRONT_END, SpikingEncoder
from sqdr.spiking.codes import Code
from sqdr.spiking.neurons import Neuron, Surrogate
from sqdr.validation import (
    argument_error,
    check_boolean,
    check_integer,
    check_number,
    check_path,
    check_real_tensor,
    without_transforms,
)

if TYPE_CHECKING:
    from sqdr.images import ImageTransform
    from sqdr.pretrained.about import About

Head = Literal["linear-relu", "linear", "none"]


class SQDR_CNN(nn.Module):
    """The hybrid spiking-quantum image classifier of arXiv 2512.03895.

    The positional arguments are those of the published code, and the architecture is its own with two
    faults mended: the spiking front end yields as many angles as the circuit reads, and nothing is
    kept from one call to the next. The defaults differ from it in two, which train: a ReLU
    on the logits leaves many of them dead from the start, and angles are up to pi instead of 1.
    `published` has the published defaults.

    Args:
        T (int): number of time steps of the spiking front end.
        in_channels (int): channels of the images.
        num_class (int): number of classes.
        n_wires (int): number of wires of the circuit. Default: 9.
        qdr_block (int): number of re-uploading blocks. Default: 2.
        init_mode (str): "normal" or "uniform", see `ReuploadCircuit`. Default: "normal".
        init_range (pair of floats): bounds of the initial circuit weights, in radians. Default:
            (0, 2 * pi).
        use_mlp (bool): the published switch of the head; False stands for head="none". Default: True.
        backend (str or class): one of `sqdr.backend_names()`, or a subclass of `ReuploadCircuit`.
            Default: "native".
        noise (NoiseModel or None): noise of the circuit. Default: None.
        entanglement (str or sequence of pairs): see `ReuploadCircuit`. Default: "linear".
        width (int): factor of the front end's channels. Default: 1.
        channels, neuron, tau, code, surrogate: of the front end, see `sqdr.spiking.SpikingEncoder`.
            Defaults: the published ones.
        angle_scale (float): factor from firing rates to angles in radians. Default: pi.
        spiking (nn.Module or None): takes the place of the spiking front end, for images (batch,
            in_channels, height, width) to firing rates (batch, circuit.n_features); `width` and the
            arguments after it then must not be given. Default: None.
        circuit (nn.Module or None): takes the place of the circuit, for angles (batch, n_features) to
            (batch, n_outputs), which are 3 * n_wires and n_wires unless it is a `ReuploadCircuit`;
            `backend`, `noise` and the other arguments of a circuit then must not be given. Default:
            None. A model with parts of another kind is not saved.
        head (str or None): what makes logits of the expectation values: "linear", a linear layer;
            "linear-relu", the published one, with a ReLU on the logits; "none", which returns the
            expectation values themselves. Default: None, which is "linear", or "none" if `use_mlp` is
            False.
        **options: the other arguments of `ReuploadCircuit`, such as `observables` and `scaling`, and
            options of the backend.

    Attributes:
        T, in_channels, num_class, width, head_name: as given; they cannot be set.
        angle_scale (float): as given; it can be.
        circuit (nn.Module): maps angles (batch, n_features) to expectation values (batch, n_outputs).
        quantum (ReuploadCircuit or None): the circuit, unless a classical module has taken its place.
        backend (str, class or None): that of the circuit, by its name or, if it is not registered, its
            class.
        about (About or None): what the folder says that the model was loaded from; None without one.

    Shape:
        images (Tensor of shape (batch, in_channels, height, width)): in [0, 1], at least 8 x 8 for the
            three stages of the default.
        returns (Tensor of shape (batch, num_class)): logits, or with head="none" the expectation
            values (batch, n_outputs).

    Raises:
        ValueError: if an argument is out of its domain, or images are not what is stated above. In
            training mode on CUDA and in compiled code, values outside [0, 1] are reported by an
            asynchronous assertion instead, so that no step waits for the device.
    """

    circuit: nn.Module
    about: About | None = None

    def __init__(
        self,
        T: int,
        in_channels: int,
        num_class: int,
        n_wires: int = 9,
        qdr_block: int = 2,
        init_mode: Literal["normal", "uniform"] = "normal",
        init_range: Sequence[float] = (0.0, 2 * math.pi),
        use_mlp: bool = True,
        *,
        backend: Backend = "native",
        noise: NoiseModel | None = None,
        entanglement: Entanglement = "linear",
        width: int = 1,
        channels: Sequence[int] = FRONT_END["channels"],
        neuron: Neuron = FRONT_END["neuron"],
        tau: float = FRONT_END["tau"],
        code: Code = FRONT_END["code"],
        surrogate: Surrogate = FRONT_END["surrogate"],
        angle_scale: float = math.pi,
        head: Head | None = None,
        spiking: nn.Module | None = None,
        circuit: nn.Module | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self._T = check_integer("T", T, 1, MAX_ARGUMENTS["T"])
        self._in_channels = check_integer("in_channels", in_channels, 1, MAX_ARGUMENTS["in_channels"])
        self._num_class = check_integer("num_class", num_class, 1, MAX_ARGUMENTS["num_class"])
        n_wires = check_integer("n_wires", n_wires, 1, MAX_ARGUMENTS["n_wires"])
        qdr_block = check_integer("qdr_block", qdr_block, 1, MAX_ARGUMENTS["qdr_block"])
        self._width = check_integer("width", width, 1, MAX_ARGUMENTS["width"])
        self._angle_scale = check_number("angle_scale", angle_scale)
        use_mlp = check_boolean("use_mlp", use_mlp)
        if head is None:
            head = "linear" if use_mlp else "none"
        if head not in ("linear-relu", "linear", "none"):
            raise argument_error("head", 'be "linear-relu", "linear" or "none"', f"is {head!r}")
        self._head_name: Head = head
        of_circuit: dict[str, Any] = {
            "entanglement": entanglement,
            "noise": noise,
            "init_mode": init_mode,
            "init_range": init_range,
            **options,
        }
        if circuit is None:
            circuit = create_circuit(backend, n_wires, qdr_block, **of_circuit)
        else:
            given = {"backend": backend, "qdr_block": qdr_block, **of_circuit}
            _check_own_circuit(circuit, n_wires, given)
        n_features, n_outputs = 3 * n_wires, n_wires
        if isinstance(circuit, ReuploadCircuit):
            n_features, n_outputs = circuit.n_features, circuit.n_outputs
        front_end: dict[str, Any] = {"channels": channels, "neuron": neuron, "tau": tau}
        front_end |= {"code": code, "surrogate": surrogate}
        if spiking is None:
            spiking = SpikingEncoder(self.T, self.in_channels, n_features, self.width, **front_end)
        elif not isinstance(spiking, nn.Module):
            raise argument_error("spiking", "be a module or None", f"is {spiking!r}")
        else:
            _refuse_beside("spiking", {"width": width, **front_end})
        self.spiking = spiking
        self.circuit = circuit
        self.head = build_head(head, n_outputs, self.num_class)

    @classmethod
    def published(
        cls,
        T: int,
        in_channels: int,
        num_class: int,
        n_wires: int = 9,
        qdr_block: int = 2,
        init_mode: Literal["normal", "uniform"] = "normal",
        init_range: Sequence[float] = (0.0, 2 * math.pi),
        use_mlp: bool = True,
        **options: Any,
    ) -> Self:
        """The published model: firing rates are angles in radians, and a ReLU is on the logits.

        Args:
            T, in_channels, ..., use_mlp: as in `SQDR_CNN`.
            **options: the keyword arguments of `SQDR_CNN`.
        """
        sizes = T, in_channels, num_class, n_wires, qdr_block
        defaults = published_defaults(use_mlp)
        return cls(*sizes, init_mode, init_range, use_mlp, **defaults | options)

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.circuit(self.angles(images))))

    @property
    def T(self) -> int:  # noqa: N802
        return self._T

    @property
    def in_channels(self) -> int:
        return self._in_channels

    @property
    def num_class(self) -> int:
        return self._num_class

    @property
    def angle_scale(self) -> float:
        return self._angle_scale

    @angle_scale.setter
    def angle_scale(self, angle_scale: float) -> None:
        self._angle_scale = check_number("angle_scale", angle_scale)

    @property
    def width(self) -> int:
        return self._width

    @property
    def min_image_size(self) -> int:
        """Height and width of the smallest image; 1 for a front end of another kind."""
        return self.spiking.min_image_size if isinstance(self.spiking, SpikingEncoder) else 1

    @property
    def head_name(self) -> Head:
        return self._head_name

    @property
    def quantum(self) -> ReuploadCircuit | None:
        """The circuit, unless a classical module has taken its place."""
        return self.circuit if isinstance(self.circuit, ReuploadCircuit) else None

    @property
    def backend(self) -> Backend | None:
        """The backend of the circuit: its name or, if it is not registered, its class."""
        if self.quantum is None:
            return None
        return registered_name(type(self.quantum)) or type(self.quantum)

    @property
    def transform(self) -> ImageTransform:
        """What makes of a picture or its file the image (in_channels, height, width) for this model.

        It has the image size that the model was saved with, if it was loaded from a folder.

        Raises:
            MissingPackageError: if Pillow is not installed.
        """
        from sqdr.images import ImageTransform

        return ImageTransform(self.in_channels, self.about.image_size if self.about else None)

    def angles(self, images: Tensor) -> Tensor:
        """What the circuit reads: scaled firing rates (batch, n_features), in radians."""
        self._check(images)
        return self.angle_scale * cast(Tensor, self.spiking(images))

    def to_backend(self, backend: Backend, **options: Any) -> SQDR_CNN:
        """A copy of the model, same weights, whose circuit runs on another backend.

        Args:
            backend (str or class): one of `sqdr.backend_names()`, or a subclass of `ReuploadCircuit`.
            **options: further options of that backend.

        Raises:
            ValueError: if the model has no quantum circuit, or the backend cannot evaluate it.
        """
        if self.quantum is None:
            is_what = f"is a {type(self.circuit).__name__}"
            raise argument_error("circuit", "be a ReuploadCircuit to change its backend", is_what)
        circuit = self.quantum.to_backend(backend, **options)
        # The copy takes the new circuit without a detour through a copy of the old one.
        return copy.deepcopy(self, memo={id(self.circuit): circuit})

    def save_pretrained(self, folder: str | os.PathLike[str], **about: Any) -> None:
        """Write the model into a folder to share: weights, configuration and a filled model card.

        The folder holds `model.safetensors`, `config.json` and `README.md`, as Hugging Face names them.
        It appears complete or not at all. Options of the backend, such as `shots`, are not saved.

        Args:
            folder (path): new, empty, or written by this method before, and then replaced.
            **about: what else the folder is to say, by the names of `sqdr.pretrained.About`:
                `class_names`, `image_size`, `data_name`, `data_classes`, `metrics`, `training` and
                `license`. What is left out of the first four is that of the folder which the model was
                loaded from, if it was.

        Raises:
            ValueError: if an argument is out of its domain, weights are not finite, the model is
                another than its configuration says, or the folder holds anything else; nothing is
                written.
            MissingPackageError: if safetensors or PyYAML is not installed.
        """
        from sqdr.pretrained import save

        save(self, check_path("folder", folder), about)

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str],
        backend: Backend | None = None,
        noise: NoiseModel | Literal["saved"] | None = "saved",
        **options: Any,
    ) -> Self:
        """The model of a folder that `save_pretrained` wrote, in evaluation mode, on the CPU.

        Nothing in the folder is executed and nothing is downloaded: the configuration is read as JSON
        and checked key by key, the weights are read by safetensors, which stores numbers alone, and
        sizes are compared before anything is built. The configuration names a backend; if it is that of
        another distribution which is installed here, its code runs, unless `backend` is given.

        Args:
            folder (path): on this machine.
            backend (str, class or None): one of `sqdr.backend_names()`, or a subclass of
                `ReuploadCircuit`. Default: None, the one of the model that was saved.
            noise (NoiseModel, "saved" or None): noise of the circuit. Default: "saved", that of the
                model that was saved.
            **options: further options of the backend.

        Raises:
            FileNotFoundError: if the folder or one of its two files is missing.
            ValueError: if a file is broken, foreign, or does not fit the other, or the backend cannot
                do what is asked for.
            MissingPackageError: if safetensors or the backend's package is not installed.
        """
        from sqdr.pretrained import load

        return load(cls, check_path("folder", folder), backend, noise, options)

    def _check(self, images: Tensor) -> None:
        check_real_tensor("images", images, "be a floating-point tensor in [0, 1]")
        must = f"have shape (batch, {self.in_channels}, height, width)"
        must += f" with height and width of at least {self.min_image_size}"
        shape = tuple(images.shape)
        if len(shape) != 4 or shape[1] != self.in_channels or min(shape[2:]) < self.min_image_size:
            raise argument_error("images", must, f"has shape {shape}")
        if torch.compiler.is_compiling() or (self.training and images.is_cuda):
            in_range = ((images >= 0) & (images <= 1)).all()
            torch._assert_async(in_range, "Argument `images` must lie in [0, 1], but does not.")
            return
        values = without_transforms(images)
        if not ((values >= 0) & (values <= 1)).all():  # False for NaN
            low, high = values.aminmax()
            but = f"spans [{low:g}, {high:g}]" if low == low else "holds NaN"
            raise argument_error("images", "lie in [0, 1]", but)


def published_defaults(use_mlp: bool) -> dict[str, Any]:
    """The keyword arguments in which the published model differs from the defaults of `SQDR_CNN`."""
    return {"angle_scale": 1.0, "head": "linear-relu" if check_boolean("use_mlp", use_mlp) else "none"}


def _check_own_circuit(circuit: Any, n_wires: int, given: Mapping[str, Any]) -> None:
    """Accept a module in the place of the circuit, and no arguments for one that would be made."""
    if not isinstance(circuit, nn.Module):
        raise argument_error("circuit", "be a module or None", f"is {circuit!r}")
    _refuse_beside("circuit", given)
    if isinstance(circuit, ReuploadCircuit) and circuit.n_wires != n_wires:
        raise argument_error("n_wires", f"be the {circuit.n_wires} of `circuit`", f"is {n_wires}")


def _refuse_beside(part: str, given: Mapping[str, Any]) -> None:
    """Accept no arguments for a part of the model that is given itself."""
    parameters = inspect.signature(SQDR_CNN).parameters
    for name, value in given.items():
        if name not in parameters or value != parameters[name].default:
            raise argument_error(name, f"not be given with a `{part}`", f"is {value!r}")


def build_head(head: Head, n_outputs: int, num_class: int) -> nn.Module:
    """What makes logits (..., num_class) of expectation values (..., n_outputs)."""
    if head == "none":
        return nn.Identity()
    linear = nn.Linear(n_outputs, num_class)
    return linear if head == "linear" else nn.Sequential(linear, nn.ReLU())
