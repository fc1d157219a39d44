"""The options of a training run, as plain dataclasses that the command line and YAML files fill."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sqdr.model import Head

DataName = Literal["digits", "mnist", "fashion-mnist", "kmnist", "cifar10"]


@dataclass(frozen=True)
class DataOptions:
    """What to train on.

    Args:
        name: "digits" (scikit-learn's 1,797 images of 8 x 8, bundled), or torchvision's "mnist",
            "fashion-mnist", "kmnist" or "cifar10".
        root: folder of torchvision's data sets.
        download: whether torchvision may download a data set that is not in `root`.
        classes: labels to keep, all if empty; the model's classes follow this order.
        image_size: height and width that images are resized to; none stands for 16 for digits, and
            for the images as they are otherwise.
        validation_fraction: part of the training images that is held out to choose the best epoch.
        batch_size: images in a training step.
        augmentation: "none", "affine" (small random rotations, shifts and changes of size) or "flip"
            (random horizontal flips, as the published code does for every data set).
    """

    name: DataName = "digits"
    root: Path = Path("datasets")
    download: bool = False
    classes: Sequence[int] = ()
    image_size: int | None = None
    validation_fraction: float = 0.1
    batch_size: int = 64
    augmentation: Literal["none", "affine", "flip"] = "affine"


@dataclass(frozen=True)
class NoiseOptions:
    """Noise of the circuit, in training and evaluation.

    Args:
        after_rotation: channels and their strengths, in order, after the rotations of each block, for
            instance {BitFlip: 0.02, AmplitudeDamping: 0.1}; see `sqdr.noise` for their names.
        after_entangler: likewise after each CZ layer.
        readout_error: probability that a measured bit is flipped.
    """

    after_rotation: Mapping[str, float] = field(default_factory=dict)
    after_entangler: Mapping[str, float] = field(default_factory=dict)
    readout_error: float = 0.0


@dataclass(frozen=True)
class ModelOptions:
    """The classifier; see `SQDR_CNN`.

    Args:
        T: time steps of the spiking front end.
        n_wires: wires of the circuit.
        qdr_block: re-uploading blocks.
        width: factor of the front end's channels.
        angle_scale: factor from firing rates to angles in radians.
        head: "linear-relu" (published), "linear" or "none".
        init_mode: "normal" or "uniform" initial circuit weights.
        init_range: bounds of the initial circuit weights, in radians.
        entanglement: "none", "linear" or "circular".
        backend: name of a backend, see `sqdr backends`.
        noise: noise of the circuit.
    """

    T: int = 5
    n_wires: int = 16
    qdr_block: int = 2
    width: int = 4
    angle_scale: float = math.pi
    head: Head = "linear"
    init_mode: Literal["normal", "uniform"] = "normal"
    init_range: tuple[float, float] = (0.0, 2 * math.pi)
    entanglement: Literal["none", "linear", "circular"] = "linear"
    backend: str = "native"
    noise: NoiseOptions = field(default_factory=NoiseOptions)


@dataclass(frozen=True)
class RunOptions:
    """A training run.

    Args:
        data: the data set.
        model: the classifier.
        epochs: passes over the training images.
        learning_rate: peak of the one-cycle schedule of Adam.
        head_learning_rate: the same for the head alone; none stands for `learning_rate`.
        weight_decay: decoupled (AdamW).
        label_smoothing: of the cross entropy.
        seed: of the initial weights, the data order, augmentation and shots.
        run: folder of the run, which must be new or empty; by default a new one under `runs/`, named
            after the data set, the backend and the time.
    """

    data: DataOptions = field(default_factory=DataOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    epochs: int = 200
    learning_rate: float = 2e-2
    head_learning_rate: float | None = None
    weight_decay: float = 0.0
    label_smoothing: float = 0.05
    seed: int = 0
    run: Path | None = None
