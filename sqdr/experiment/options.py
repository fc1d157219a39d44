"""The options of a training run, as plain dataclasses that the command line and YAML files fill."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from sqdr.model import Head
from sqdr.noise import NoiseModel
from sqdr.validation import argument_error

#: What stands in the place of the circuit; see `make_twin`.
Variant = Literal["quantum", "frozen", "mlp", "none"]
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
        batch_size: images in a training step, of all processes together.
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
    """Noise of the circuit, in training and evaluation; see `NoiseModel.from_dict`.

    Args:
        after_rotation: channels and their strengths, in order, after the rotations of each block, for
            instance {BitFlip: 0.02, AmplitudeDamping: 0.1}; see `sqdr.noise` for their names. A
            strength may be a list, one for each wire, or {Parameter: 0.02}, which is trained; a list of
            such mappings may name a channel twice.
        after_entangler: likewise after each CZ layer.
        readout_error: probability that a measured bit is flipped, or one for each wire.
        preset: "author-code" or "device", in place of the above; see `NoiseModel.preset`.
        preset_options: options of the preset, for instance {t1: 80, t2: 60} for "device".
    """

    after_rotation: Mapping[str, Any] | Sequence[Mapping[str, Any]] = field(default_factory=dict)
    after_entangler: Mapping[str, Any] | Sequence[Mapping[str, Any]] = field(default_factory=dict)
    readout_error: float | Sequence[float] = 0.0
    preset: Literal["author-code", "device"] | None = None
    preset_options: Mapping[str, Any] = field(default_factory=dict)


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
        circuit: "quantum", or a twin without it for comparison: "frozen" (the circuit keeps its initial
            weights), "mlp" (a classical layer of the same size) or "none" (the head reads the angles).
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
    circuit: Variant = "quantum"


@dataclass(frozen=True)
class TrainerOptions:
    """Where and in what precision a run computes.

    Several processes train as one would: they divide each batch and validation set, and batch
    normalisation sees whole batches. Only rounding differs, and the stream of drawn noise and shots.

    Args:
        accelerator: "cpu", "gpu" or "auto", a GPU where there is one.
        devices: processes on each machine, one for each device; none stands for as many as torchrun
            has started, and for one without it.
        num_nodes: machines; none stands for those of torchrun, and for one without it.
        precision: "32-true" or "64-true".
    """

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int | None = None
    num_nodes: int | None = None
    precision: Literal["32-true", "64-true"] = "32-true"


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
        tensorboard: whether to write the metrics for TensorBoard too, under `tensorboard` in the run.
        trainer: devices, machines and precision.
        run: folder of the run, which must be new or empty unless a run is resumed; by default a new one
            under `runs/`, named after the data set, the backend and the time.
    """

    data: DataOptions = field(default_factory=DataOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    epochs: int = 200
    learning_rate: float = 2e-2
    head_learning_rate: float | None = None
    weight_decay: float = 0.0
    label_smoothing: float = 0.05
    seed: int = 0
    tensorboard: bool = False
    trainer: TrainerOptions = field(default_factory=TrainerOptions)
    run: Path | None = None


@dataclass(frozen=True)
class NoiseSweepOptions:
    """Accuracy against noise, for models trained without and with noise.

    The tests compute on the CPU, in the precision of the trainings.

    Args:
        training: how each model is trained; its seed and its folder are set by the sweep.
        channels: names of the channels, see `sqdr.noise`. Each acts after the rotations of each block.
        training_strengths: of each channel in training; 0 stands for one model, trained without noise,
            that is tested under every channel.
        test_strengths: of each channel in the tests.
        seeds: each gives one model for each training noise.
        jobs: processes, of one thread each; none stands for all cores.
        folder: of the sweep. The same command continues the sweep in it, and on another machine takes
            part in it.
    """

    training: RunOptions
    channels: Sequence[str] = (
        "BitFlip",
        "PhaseFlip",
        "Depolarizing",
        "AmplitudeDamping",
        "PhaseDamping",
    )
    training_strengths: Sequence[float] = (0.0, 0.1)
    test_strengths: Sequence[float] = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
    seeds: Sequence[int] = (0, 1, 2, 3, 4)
    jobs: int | None = None
    folder: Path = Path("runs/noise-sweep")


@dataclass(frozen=True)
class ComparisonOptions:
    """The model beside its twins without entanglement, training, or the circuit itself.

    Args:
        training: how each variant is trained; its seed and its folder are set by the comparison.
        seeds: each gives one model of each variant.
        jobs: processes, of one thread each; none stands for all cores.
        folder: of the comparison. The same command continues the comparison in it, and on another
            machine takes part in it.
    """

    training: RunOptions
    seeds: Sequence[int] = (0, 1, 2, 3, 4)
    jobs: int | None = None
    folder: Path = Path("runs/comparison")


@dataclass(frozen=True)
class SearchOptions:
    """A search for the options of a training, judged by its validation images.

    Args:
        training: the options that the search leaves alone; its seed is that of the search too, and its
            folder is not used.
        space: where to search, by the names of the options of `sqdr train`. A list holds values to
            choose from; {low: 0.001, high: 0.1, log: true} is a range, of integers for an option that
            is an integer, whose logarithm is searched evenly if `log` is true.
        objective: what to improve, in the epoch with the lowest validation loss: "validation_loss" or
            "validation_accuracy".
        n_trials: trainings, on all machines together. A search goes on with a higher number.
        jobs: processes, of one thread each; none stands for all cores.
        folder: of the search. The same command continues the search in it, and on another machine takes
            part in it.
    """

    training: RunOptions
    space: Mapping[str, Any] = field(
        default_factory=lambda: {
            "learning_rate": {"low": 1e-3, "high": 0.1, "log": True},
            "weight_decay": {"low": 1e-5, "high": 0.1, "log": True},
            "data.batch_size": [32, 64, 128],
            "model.angle_scale": {"low": 1.0, "high": 6.3},
        }
    )
    objective: Literal["validation_loss", "validation_accuracy"] = "validation_loss"
    n_trials: int = 50
    jobs: int | None = None
    folder: Path = Path("runs/search")


def build_noise(options: NoiseOptions) -> NoiseModel:
    """The noise model that the options describe."""
    channels = {
        "after_rotation": options.after_rotation,
        "after_entangler": options.after_entangler,
        "readout_error": options.readout_error,
    }
    if options.preset is None:
        if options.preset_options:
            raise argument_error("preset", "be given with `preset_options`", "is not")
        return NoiseModel.from_dict(channels)
    for name, value in channels.items():
        if value not in ({}, [], (), 0):
            raise argument_error(name, "be left out where there is a `preset`", f"is {value!r}")
    named = {str(name): value for name, value in options.preset_options.items()}
    return NoiseModel.preset(options.preset, **named)


#: Options that say how a run is done and not what comes out; a study of many runs sets them itself.
NOT_OF_RESULT = frozenset({"run", "tensorboard", "trainer.devices", "trainer.num_nodes"})


def new_parser(description: str = "", **options: Any) -> Any:
    """A jsonargparse.ArgumentParser, with its options, that raises errors instead of exiting.

    What it parses cannot have modules imported: a file that names a class would have its module
    imported before the class is refused.

    Raises:
        ModuleNotFoundError: if jsonargparse is missing.
    """
    import jsonargparse

    jsonargparse.set_parsing_settings(
        import_path_denylist=["*"], import_path_allowlist=["sqdr.experiment.options"]
    )
    return jsonargparse.ArgumentParser(description=description, exit_on_error=False, **options)


def parse_run_options(text: str) -> RunOptions:
    """Options of a training run, of YAML.

    Raises:
        argparse.ArgumentError: if it is no YAML, or an option is unknown or cannot have its value.
        ValueError: if it names a class.
    """
    parser = new_parser()
    parser.add_class_arguments(RunOptions)
    return RunOptions(**vars(parser.instantiate(parser.parse_string(text))))


def as_plain(options: Any) -> dict[str, Any]:
    """Options (a dataclass) as what YAML files are made of: mappings, lists, strings and numbers."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(options), default=str))
    return plain


def what_is_shared(options: NoiseSweepOptions | ComparisonOptions | SearchOptions) -> dict[str, Any]:
    """The options as plain data for `--config`, without what may differ from machine to machine."""
    of_study = as_plain(options)
    of_machines = {"seed", "jobs", "folder", "data.root", "data.download"}
    return without(of_study.pop("training") | of_study, NOT_OF_RESULT | of_machines)


def without(options: Mapping[str, Any], names: Collection[str], group: str = "") -> dict[str, Any]:
    """Plain options but for those of these names, such as "seed" and "trainer.devices"."""
    return {
        name: without(value, names, f"{group}{name}.") if isinstance(value, Mapping) else value
        for name, value in options.items()
        if f"{group}{name}" not in names
    }
