"""Trained models as folders to share: weights (safetensors), configuration (JSON), a model card.

Nothing of a folder is executed. Every key of the configuration is checked, and the names and shapes of
the tensors are compared with those it implies before a model is built.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import torch
from torch import Tensor, nn

from sqdr.ansatz import FAMILY, TRAINED
from sqdr.circuit import Backend, ReuploadCircuit
from sqdr.errors import MissingPackageError
from sqdr.files import UNFINISHED
from sqdr.model import SQDR_CNN, build_head
from sqdr.noise import NoiseModel
from sqdr.pretrained.about import About
from sqdr.pretrained.config import (
    CONFIG,
    MODEL_TYPE,
    PretrainedConfig,
    existing,
    from_json,
    is_ours,
    naming,
    read_config,
    to_json,
)
from sqdr.spiking import FRONT_END, SpikingEncoder
from sqdr.validation import argument_error

try:
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import save as to_safetensors
except ModuleNotFoundError as error:
    raise MissingPackageError("A pretrained model", "share", "safetensors") from error

WEIGHTS, CARD = "model.safetensors", "README.md"

_FLOATS = {"F16", "BF16", "F32", "F64"}

Model = TypeVar("Model", bound=SQDR_CNN)


def save(model: SQDR_CNN, folder: Path, options: Mapping[str, Any]) -> None:
    """See `SQDR_CNN.save_pretrained`."""
    from sqdr.pretrained.card import model_card

    about = replace(model.about or About(), **options)
    text = to_json(model, about)
    config = from_json(text.encode())
    weights = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in model.state_dict().items()
    }
    _check_shapes({name: tuple(tensor.shape) for name, tensor in weights.items()}, config)
    _check_finite(weights)
    _check_computation(model, config)
    card = model_card(model, replace(about, class_names=config.class_names))
    files = {
        WEIGHTS: to_safetensors(weights, metadata={"format": "pt"}),
        CONFIG: text.encode(),
        CARD: card.encode(),
    }
    _write_folder(folder, files)


def load(
    model_class: type[Model],
    folder: Path,
    backend: Backend | None,
    noise: NoiseModel | Literal["saved"] | None,
    options: Mapping[str, Any],
) -> Model:
    """See `SQDR_CNN.from_pretrained`."""
    if isinstance(noise, str) and noise != "saved":
        raise argument_error("noise", 'be a NoiseModel, "saved" or None', f"is {noise!r}")
    config = read_config(folder)
    for name in options:
        if name in config.arguments or name in FRONT_END or name in FAMILY:
            must = "not be given, since it is that of the model that was saved"
            raise argument_error(name, must, f"is {options[name]!r}")
    weights = _read_weights(folder / WEIGHTS, config)
    arguments = config.arguments | {"backend": backend or config.arguments["backend"]}
    if noise != "saved":
        arguments["noise"] = noise
        weights = {name: tensor for name, tensor in weights.items() if not _is_strength(name)}
    # The initial weights drawn here are thrown away.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        model = model_class(**arguments, **options)
    circuit = cast(ReuploadCircuit, model.quantum)
    dtype = circuit.weights.dtype
    model.load_state_dict(weights, strict=noise == "saved", assign=True)
    if "dtype" in options or "float64" not in circuit.capabilities:
        circuit.to(dtype)
    model.about = config.about
    return model.eval()


def _read_weights(file: Path, config: PretrainedConfig) -> dict[str, Tensor]:
    """The tensors of a safetensors file, which must be those of the model that `config` describes."""
    existing(file)
    with naming(file):
        try:
            with safe_open(file, framework="pt") as stored:
                slices = {name: stored.get_slice(name) for name in stored.keys()}  # noqa: SIM118
                _check_shapes({name: tuple(s.get_shape()) for name, s in slices.items()}, config)
                for name, slice_ in slices.items():
                    dtypes = {"I64"} if name.endswith(".num_batches_tracked") else _FLOATS
                    if slice_.get_dtype() not in dtypes:
                        must = f"have dtype {' or '.join(sorted(dtypes))}"
                        raise argument_error(name, must, f"has {slice_.get_dtype()}")
                # Copies, so that the file can be replaced while the model lives.
                weights = {name: stored.get_tensor(name).clone() for name in slices}
        except SafetensorError as error:
            raise ValueError(f"it is no complete safetensors file ({error})") from error
        _check_finite(weights)
    return weights


def _check_shapes(shapes: Mapping[str, tuple[int, ...]], config: PretrainedConfig) -> None:
    """Compare the tensors that there are with those of the model, which is not built for it."""
    parts = _classical_parts(config)
    expected = {name: tuple(t.shape) for name, t in parts.state_dict().items()}
    expected |= {f"circuit.{name}": shape for name, shape in config.ansatz.shapes().items()}
    for name, _, strength in (config.arguments["noise"] or NoiseModel()).named_strengths():
        if isinstance(strength, Tensor):
            expected[f"circuit.{name}"] = tuple(strength.shape)
    for name, shape in expected.items():
        if name not in shapes:
            raise argument_error("tensors", "be those of the model", f"lack {name}")
        if shapes[name] != shape:
            must = f"have shape {shape} for the arguments in {CONFIG}"
            raise argument_error(name, must, f"has shape {shapes[name]}")
    for name in shapes:
        if name not in expected:
            raise argument_error("tensors", "be those of the model", f"hold {name!r} as well")


def _classical_parts(config: PretrainedConfig) -> nn.ModuleDict:
    """Front end and head of the model, without values."""
    arguments, ansatz = config.arguments, config.ansatz
    sizes = arguments["T"], arguments["in_channels"], ansatz.n_features, arguments["width"]
    front_end = {name: arguments[name] for name in FRONT_END if name in arguments}
    with torch.device("meta"):
        head = build_head(arguments["head"], ansatz.n_outputs, arguments["num_class"])
        return nn.ModuleDict({"spiking": SpikingEncoder(*sizes, **front_end), "head": head})


class _MeansOfAngles(nn.Module):
    """Stands for the circuit where the parts around it are compared: as many outputs, of all angles."""

    def __init__(self, n_outputs: int) -> None:
        super().__init__()
        self.n_outputs = n_outputs

    def forward(self, angles: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool1d(angles, self.n_outputs)


def _check_computation(model: SQDR_CNN, config: PretrainedConfig) -> None:
    """Refuse a model that computes something else than its configuration describes.

    Its circuit is what its class, which has a name, makes of its arguments. All that is around it is
    compared on random images, since neurons, attributes, methods and hooks may have been exchanged.
    """
    must = "be one that its configuration describes"
    circuit = model.quantum
    if circuit is None or _has_other_methods(circuit) or circuit._forward_hooks:
        raise argument_error("circuit", must, "has been changed by a hook or another method")
    if circuit._forward_pre_hooks:
        raise argument_error("circuit", must, "has been changed by a hook")
    parts = _classical_parts(config)
    stand_in = _MeansOfAngles(circuit.n_outputs)
    changed = copy.deepcopy(model, memo={id(circuit): stand_in}).cpu()
    parts.load_state_dict(changed.state_dict(), assign=True)
    size = config.image_size or 16
    images = torch.rand(4, model.in_channels, size, size, generator=torch.Generator().manual_seed(0))
    images = images.to(next(parts.parameters()).dtype)
    for training in (True, False):  # in training all layers fire, whatever their weights
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            for spiking in (parts["spiking"], changed.spiking):
                if generator := cast(SpikingEncoder, spiking).generator:
                    generator.manual_seed(0)
            rates = parts.train(training)["spiking"](images)
            expected = parts["head"](stand_in(config.arguments["angle_scale"] * rates))
            found = changed.train(training)(images)
        # Rounding may move a spike of one image; what has been changed moves most.
        if found.shape != expected.shape or (found - expected).abs().amax(1).median() > 1e-3:
            raise argument_error("model", must, "computes something else: it has been changed since")


def _has_other_methods(circuit: ReuploadCircuit) -> bool:
    """Whether functions were set on the circuit in place of methods of its class."""
    return any(callable(getattr(type(circuit), name, None)) for name in vars(circuit))


def _is_strength(name: str) -> bool:
    """Whether a tensor of a model is a strength of its noise."""
    return name.startswith("circuit.") and name.removeprefix("circuit.") not in TRAINED


def _check_finite(weights: Mapping[str, Tensor]) -> None:
    for name, tensor in weights.items():
        if not tensor.isfinite().all():
            raise argument_error(name, "be finite", "holds infinities or NaN")


def _write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write `files` into a new folder, which appears when it is whole, or exchange those of an old one.

    A folder that is there stays the same one, since it may be somebody's working folder or a mount
    point, and has its owner and mode. Whoever reads it meanwhile, or after a kill, finds the old model,
    the new one, or a configuration that says that there is none.
    """
    folder = folder.resolve()
    exists = folder.exists()
    if exists and not _is_replaceable(folder):
        raise argument_error(
            "folder", "be new, empty or a pretrained model of sqdr", f"{folder} is not"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    place = folder if exists else folder.parent
    try:
        with tempfile.TemporaryDirectory(prefix=f"{UNFINISHED}{folder.name}-", dir=place) as workplace:
            new, old = Path(workplace) / "new", Path(workplace) / "old"
            new.mkdir()
            for name, content in files.items():
                (new / name).write_bytes(content)
            if exists:
                (new / UNFINISHED).write_text(
                    json.dumps({"model_type": MODEL_TYPE, "unfinished": True})
                )
                old.mkdir()
                _exchange_files(folder, new, old)
            else:
                os.rename(new, folder)
    except OSError as error:  # that of a full disk names no file
        error.filename = str(folder)
        raise


def _exchange_files(folder: Path, new: Path, old: Path) -> None:
    """Move the files of `new` into `folder`, and those that were there to `old`; after an error, back.

    The configuration, without which there is no model, goes first and comes last.
    """
    names = (CONFIG, WEIGHTS, CARD)
    had = [name for name in names if (folder / name).exists()]
    try:
        if CONFIG in had:
            shutil.copyfile(folder / CONFIG, old / CONFIG)
        os.replace(new / UNFINISHED, folder / CONFIG)
        for name in reversed(names):
            if name in had and name != CONFIG:
                os.replace(folder / name, old / name)
            os.replace(new / name, folder / name)
    except BaseException:
        for name in reversed(names):
            if (old / name).exists():
                os.replace(old / name, folder / name)
            elif name not in had:
                (folder / name).unlink(missing_ok=True)
        raise


def _is_replaceable(folder: Path) -> bool:
    """Whether a folder is empty or has the files of a pretrained model of sqdr and no others."""
    if not folder.is_dir():
        return False
    files = {file.name for file in folder.iterdir() if not file.name.startswith(UNFINISHED)}
    return not files or (files <= {CONFIG, WEIGHTS, CARD} and is_ours(folder / CONFIG))
