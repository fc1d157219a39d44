"""The options of runs and studies, as dataclasses that check themselves."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, Literal

import torch

from sqdr.ansatz import FAMILY, Ansatz, Entangler, Inputs
from sqdr.bounds import MAX_ARGUMENTS, MAX_IMAGE_SIZE, MAX_RATE, MAX_SHOTS, MAX_SIZE
from sqdr.circuit import checked_range
from sqdr.experiment.data_names import check_data_name
from sqdr.model import Head
from sqdr.noise import Calibration, NoiseModel
from sqdr.spiking import FRONT_END, checked_front_end
from sqdr.spiking.codes import Code
from sqdr.spiking.neurons import Neuron, Surrogate
from sqdr.validation import (
    argument_error,
    check_boolean,
    check_choice,
    check_distinct,
    check_integer,
    check_number,
    check_path,
    check_seed,
    check_seeds,
)

#: What stands in the place of the circuit; see `make_twin`.
Variant = Literal["quantum", "frozen", "mlp", "none"]
Augmentation = Literal["none", "affine", "flip"]
Accelerator = Literal["auto", "cpu", "gpu"]
Precision = Literal["32-true", "64-true"]
Optimizer = Literal["AdamW", "Adam", "SGD"]
Logger = Literal["tensorboard", "wandb", "mlflow"]
Objective = Literal["validation_loss", "validation_accuracy"]

#: What an option belongs to: to the recipe of a training, which a search may vary; to its task, what it
#: computes and is measured on; to the size of a study, which may grow; to the machine, to the processes
#: of one training or to the folder, on which no result depends. A field says it in its metadata, unless
#: it is of the recipe.
Kind = Literal["recipe", "task", "size", "machine", "processes", "folder"]


OF_TASK, OF_SIZE, OF_MACHINE, OF_PROCESSES, OF_FOLDER = (
    {"of": kind} for kind in ("task", "size", "machine", "processes", "folder")
)


def _set(options: object, **checked: Any) -> None:
    """Give a frozen dataclass values of plain Python types, for files to hold."""
    for name, value in checked.items():
        object.__setattr__(options, name, value)


@dataclass(frozen=True)
class DataOptions:
    """What to train on.

    Args:
        name: "digits" (scikit-learn's 1,797 images of 8 x 8, bundled), or torchvision's "mnist",
            "fashion-mnist", "kmnist", "qmnist", "emnist-balanced" (or another split), "usps", "svhn",
            "cifar10" or "cifar100"; or "folder", one's own images; or one of another distribution,
            by its entry point (group `sqdr.datasets`).
        root: folder of torchvision's data sets, or of one's own images: it holds a folder for each
            class, or `train` and `test` that hold these.
        download: whether torchvision may download a data set that is not in `root`.
        classes: labels to keep, all if empty; the model's classes follow this order.
        image_size: height and width that images are resized to; none stands for 16 for digits, and
            for the images as they are otherwise. Needed for one's own of several sizes.
        split_seed: of the fifth of one's own images of each class that is the test, where `root` does
            not hold `train` and `test`.
        validation_fraction: part of the training images that is held out to choose the best epoch.
        batch_size: images in a training step, of all processes together.
        augmentation: "none", "affine" (small random rotations, shifts and changes of size) or "flip"
            (random horizontal flips, as the published code does for every data set).
    """

    name: str = field(default="digits", metadata=OF_TASK)
    root: Path = field(default=Path("datasets"), metadata=OF_MACHINE)
    download: bool = field(default=False, metadata=OF_MACHINE)
    classes: Sequence[int] = field(default=(), metadata=OF_TASK)
    image_size: int | None = None
    split_seed: int = field(default=0, metadata=OF_TASK)
    validation_fraction: float = field(default=0.1, metadata=OF_TASK)
    batch_size: int = 64
    augmentation: Augmentation = "affine"

    def __post_init__(self) -> None:
        check_data_name("name", self.name)
        check_choice("augmentation", self.augmentation, Augmentation)
        size = self.image_size
        if size is not None:
            size = check_integer("image_size", size, 2, MAX_IMAGE_SIZE)
        classes = tuple(check_integer("classes", label, 0, MAX_SIZE) for label in self.classes)
        if classes and (len(classes) < 2 or len(set(classes)) < len(classes)):
            raise argument_error("classes", "be at least two distinct labels", f"is {list(classes)}")
        fraction = check_number("validation_fraction", self.validation_fraction, 0.01, 0.9)
        _set(
            self,
            root=check_path("root", self.root),
            download=check_boolean("download", self.download),
            classes=classes,
            image_size=size,
            split_seed=check_seed("split_seed", self.split_seed),
            validation_fraction=fraction,
            batch_size=check_integer("batch_size", self.batch_size, 1, MAX_SIZE),
        )


@dataclass(frozen=True)
class NoiseOptions:
    """Noise of the circuit, in training and evaluation; see `NoiseModel.from_dict`.

    Args:
        after_rotation: channels and their strengths, in order, after the rotations of each block, for
            instance {BitFlip: 0.02, AmplitudeDamping: 0.1}; see `sqdr.noise` for their names. A
            strength may be a list, one for each wire, or {Parameter: 0.02}, which is trained; a list of
            such mappings may name a channel twice.
        after_entangler: likewise after each entangling layer; TwoWireDepolarizing acts on its pairs.
        readout_error: probability that a measured bit is flipped, or one for each wire; or
            {prob_meas1_prep0: 0.01, prob_meas0_prep1: 0.03}, that 0 is read as 1 and 1 as 0.
        preset: "author-code" or "device", in place of the above; see `NoiseModel.preset`.
        preset_options: options of the preset, for instance {t1: 80, t2: 60} for "device".
        device: in place of all these the noise of a device on the best of its qubits: the name of a
            snapshot of Qiskit's, such as FakeTorino, or the path of a calibration in JSON or YAML; see
            `sqdr.noise.Calibration`. What is kept is the noise itself.
    """

    after_rotation: Mapping[str, Any] | Sequence[Mapping[str, Any]] = field(default_factory=dict)
    after_entangler: Mapping[str, Any] | Sequence[Mapping[str, Any]] = field(default_factory=dict)
    readout_error: float | Sequence[float] | Mapping[str, Any] = 0.0
    preset: Literal["author-code", "device"] | None = None
    preset_options: Mapping[str, Any] = field(default_factory=dict)
    device: str | None = None

    def __post_init__(self) -> None:
        if self.device is None:
            build_noise(self)  # which checks them
            return
        others = {field.name: getattr(self, field.name) for field in fields(self)}
        del others["device"]
        _refuse_beside("device", others)

    def of_circuit(self, ansatz: Ansatz) -> NoiseOptions:
        """The same, with the noise itself in the place of a device.

        Raises:
            ValueError, OSError, ImportError: if there is no such device, or the circuit has no place on
                it.
        """
        if self.device is None:
            return self
        return NoiseOptions(**Calibration.named(self.device).of_circuit(ansatz).to_dict())


@dataclass(frozen=True)
class ModelOptions:
    """The classifier; see `SQDR_CNN`.

    Args:
        T: time steps of the spiking front end.
        n_wires: wires of the circuit.
        qdr_block: re-uploading blocks.
        width: factor of the front end's channels.
        channels: of each of its stages, as multiples of width and the channels of the images.
        neuron: "IF" (integrate-and-fire), "LIF" (leaky) or "PLIF" (leaky, with trained time constants).
        tau: time constant of leaky neurons, in time steps.
        code: "phase", "rate", "latency" or "direct", what makes spikes of an image.
        surrogate: gradient of the spikes, "ATan", "Erf", "PiecewiseExp", "PiecewiseQuadratic",
            "Sigmoid", "SoftSign" or "SuperSpike".
        angle_scale: factor from firing rates to angles in radians.
        head: "linear-relu" (published), "linear" or "none".
        init_mode: "normal" or "uniform" initial circuit weights.
        init_range: bounds of the initial circuit weights, in radians.
        encoding: axes of the rotations that take data, "Rot", which is "ZYZ", or a word of X, Y and Z.
        rotation: likewise of the trained rotations.
        inputs: "repeat", every block reads the same features, or "split", each reads its own.
        scaling: whether each angle of the data has a trained factor.
        entangler: "CZ", or "ZZ" with trained couplings.
        entanglement: "none", "linear", "circular", "full", or pairs of wires such as [[0, 1], [1, 3]].
        observables: "Z", "X" or "Y" of every wire, or Pauli words such as [Z0, X1 X2].
        backend: name of a backend, see `sqdr backends`.
        shots: measurements for each expectation value; none stands for exact ones.
        device: device of the backend's simulator, for instance lightning.qubit of PennyLane.
        options: further options of the backend, for instance {chunk_size: 8} of PennyLane.
        noise: noise of the circuit.
        circuit: "quantum", or a twin without it for comparison: "frozen" (the circuit keeps its initial
            weights), "mlp" (a classical layer of the same size) or "none" (the head reads the angles).
    """

    T: int = 5
    n_wires: int = 16
    qdr_block: int = 2
    width: int = 4
    channels: Sequence[int] = FRONT_END["channels"]
    neuron: Neuron = FRONT_END["neuron"]
    tau: float = FRONT_END["tau"]
    code: Code = FRONT_END["code"]
    surrogate: Surrogate = FRONT_END["surrogate"]
    angle_scale: float = math.pi
    head: Head = "linear"
    init_mode: Literal["normal", "uniform"] = "normal"
    init_range: tuple[float, float] = (0.0, 2 * math.pi)
    encoding: str = FAMILY["encoding"]
    rotation: str = FAMILY["rotation"]
    inputs: Inputs = FAMILY["inputs"]
    scaling: bool = FAMILY["scaling"]
    entangler: Entangler = FAMILY["entangler"]
    entanglement: Literal["none", "linear", "circular", "full"] | Sequence[tuple[int, int]] = "linear"
    observables: str | Sequence[str] = FAMILY["observables"]
    backend: str = "native"
    shots: int | None = None
    device: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    noise: NoiseOptions = field(default_factory=NoiseOptions)
    circuit: Variant = "quantum"

    def __post_init__(self) -> None:
        check_choice("head", self.head, Head)
        check_choice("init_mode", self.init_mode, Literal["normal", "uniform"])
        check_choice("circuit", self.circuit, Variant)
        for name in ("T", "n_wires", "qdr_block", "width"):
            _set(self, **{name: check_integer(name, getattr(self, name), 1, MAX_ARGUMENTS[name])})
        _set(self, **checked_front_end(self.front_end))
        _set(self, init_range=checked_range(self.init_mode, self.init_range))
        _set(
            self,
            angle_scale=check_number("angle_scale", self.angle_scale),
            scaling=check_boolean("scaling", self.scaling),
        )
        if self.shots is not None:
            _set(self, shots=check_integer("shots", self.shots, 1, MAX_SHOTS))
        _set(self, noise=self.noise.of_circuit(self.ansatz))
        if self.circuit in ("mlp", "none") and (noise := build_noise(self.noise)):
            raise argument_error("noise", f'be empty for circuit "{self.circuit}"', f"is {noise}")
        if self.head == "none" and self.circuit == "none":
            raise argument_error("head", 'not be "none" for circuit "none"', "is")

    @property
    def family(self) -> dict[str, Any]:
        """The arguments that choose a member of the family of circuits."""
        return _family_of(self)

    @property
    def front_end(self) -> dict[str, Any]:
        """The arguments that choose a spiking front end."""
        return {name: getattr(self, name) for name in FRONT_END}

    @property
    def ansatz(self) -> Ansatz:
        """The member of the family.

        Raises:
            ValueError: if an option of it is out of its domain.
        """
        return Ansatz.chosen(self.n_wires, self.qdr_block, **self.family)


def _family_of(options: ModelOptions | BenchOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in FAMILY}


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

    accelerator: Accelerator = field(default="auto", metadata=OF_MACHINE)
    devices: int | None = field(default=None, metadata=OF_PROCESSES)
    num_nodes: int | None = field(default=None, metadata=OF_PROCESSES)
    precision: Precision = field(default="32-true", metadata=OF_TASK)

    def __post_init__(self) -> None:
        check_choice("accelerator", self.accelerator, Accelerator)
        check_choice("precision", self.precision, Precision)
        for name in ("devices", "num_nodes"):
            if getattr(self, name) is not None:
                _set(self, **{name: check_integer(name, getattr(self, name), 1, MAX_SIZE)})


@dataclass(frozen=True)
class RunOptions:
    """A training run.

    Args:
        data: the data set.
        model: the classifier.
        epochs: passes over the training images.
        early_stopping: number of epochs without a lower validation loss after which training stops;
            none stands for never.
        optimizer: "AdamW", "Adam" or "SGD", of torch.optim.
        optimizer_options: its further options, for instance {momentum: 0.9, nesterov: true}. Without
            betas, the first one of AdamW and Adam goes down and up with the learning rate.
        learning_rate: peak of the one-cycle schedule.
        head_learning_rate: the same for the head alone; none stands for `learning_rate`.
        weight_decay: decoupled for AdamW, part of the gradient for the others.
        label_smoothing: of the cross entropy that is trained on and that chooses the best epoch.
        init_from: where the weights begin: the folder of a shared model, such as `runs/NAME/model`, or
            of a run, whose last epoch it is. A head for other classes begins anew.
        seed: of the initial weights, the data order, augmentation and shots.
        logger: "tensorboard", "wandb" or "mlflow" to write the metrics for one of these too, into the
            folder of the run.
        tensorboard: the same as `logger` tensorboard.
        checkpoint_minutes: time between checkpoints within an epoch; none stands for those at the end
            of each epoch alone.
        trainer: devices, machines and precision.
        run: folder of the run, which must be new or empty unless a run is resumed; by default a new one
            under `runs/`, named after the data set, the backend and the time.
    """

    data: DataOptions = field(default_factory=DataOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    epochs: int = 200
    early_stopping: int | None = None
    optimizer: Optimizer = "AdamW"
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    learning_rate: float = 2e-2
    head_learning_rate: float | None = None
    weight_decay: float = 0.0
    label_smoothing: float = 0.05
    init_from: Path | None = None
    seed: int = field(default=0, metadata=OF_TASK)
    logger: Logger | None = field(default=None, metadata=OF_FOLDER)
    checkpoint_minutes: float | None = field(default=None, metadata=OF_FOLDER)
    tensorboard: bool = field(default=False, metadata=OF_FOLDER)
    trainer: TrainerOptions = field(default_factory=TrainerOptions)
    run: Path | None = field(default=None, metadata=OF_FOLDER)

    def __post_init__(self) -> None:
        rate, run, source = self.head_learning_rate, self.run, self.init_from
        if self.early_stopping is not None:
            _set(self, early_stopping=check_integer("early_stopping", self.early_stopping, 1, MAX_SIZE))
        if self.checkpoint_minutes is not None:
            minutes = check_number("checkpoint_minutes", self.checkpoint_minutes, 0)
            _set(self, checkpoint_minutes=minutes)
        if self.logger is not None:
            check_choice("logger", self.logger, Logger)
        check_choice("optimizer", self.optimizer, Optimizer)
        _set(
            self,
            epochs=check_integer("epochs", self.epochs, 1, MAX_SIZE),
            learning_rate=check_number("learning_rate", self.learning_rate, 0, MAX_RATE),
            head_learning_rate=(
                None if rate is None else check_number("head_learning_rate", rate, 0, MAX_RATE)
            ),
            weight_decay=check_number("weight_decay", self.weight_decay, 0),
            label_smoothing=check_number("label_smoothing", self.label_smoothing, 0, 1),
            seed=check_seed("seed", self.seed),
            tensorboard=check_boolean("tensorboard", self.tensorboard),
            init_from=None if source is None else check_path("init_from", source),
            run=None if run is None else check_path("run", run),
        )
        _check_optimizer(self)
        if self.tensorboard and self.logger not in (None, "tensorboard"):
            raise argument_error(
                "logger", "be tensorboard where `tensorboard` is true", f"is {self.logger}"
            )

    @property
    def metrics_logger(self) -> Logger | None:
        """The logger that `logger` or `tensorboard` asks for."""
        return "tensorboard" if self.tensorboard else self.logger


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
        seeds: each gives one model for each training noise. A sweep goes on with more of them.
        jobs: processes, of one thread each; none stands for all cores.
        folder: of the sweep. The same command continues the sweep in it, and on another machine takes
            part in it.
        storage: URL of a database, by which machines without a common folder share the sweep; it has
            the name of the folder there.
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
    seeds: Sequence[int] = field(default=(0, 1, 2, 3, 4), metadata=OF_SIZE)
    jobs: int | None = field(default=None, metadata=OF_MACHINE)
    folder: Path = field(default=Path("runs/noise-sweep"), metadata=OF_FOLDER)
    storage: str | None = field(default=None, metadata=OF_MACHINE)

    def __post_init__(self) -> None:
        _check_study(self)
        _set(self, seeds=check_seeds(self.seeds))
        for name in ("channels", "training_strengths", "test_strengths"):
            check_distinct(name, getattr(self, name))
        for channel in self.channels:
            for strength in (*self.training_strengths, *self.test_strengths):
                NoiseOptions({channel: strength})  # which checks them
        model = self.training.model
        if build_noise(model.noise):
            raise argument_error(
                "noise", "be empty in a noise sweep, which sets it", f"is {model.noise}"
            )
        if model.circuit not in ("quantum", "frozen"):
            raise argument_error(
                "circuit", "be a quantum one in a noise sweep", f"is {model.circuit!r}"
            )


#: The variants of a comparison unless others are given.
TWINS: dict[str, dict[str, str]] = {
    "no entanglement": {"entanglement": "none"},
    "frozen circuit": {"circuit": "frozen"},
    "MLP of equal size": {"circuit": "mlp"},
    "no circuit": {"circuit": "none"},
}


@dataclass(frozen=True)
class ComparisonOptions:
    """The model, "quantum", beside others: its twins, or other members of the family of circuits.

    Args:
        training: how each variant is trained; its seed and its folder are set by the comparison.
        seeds: each gives one model of each variant. A comparison goes on with more of them.
        jobs: processes, of one thread each; none stands for all cores.
        folder: of the comparison. The same command continues the comparison in it, and on another
            machine takes part in it.
        storage: URL of a database, by which machines without a common folder share the comparison; it
            has the name of the folder there.
        variants: the others by name, and the options of the model that each changes, for instance
            {trained scaling: {scaling: true}, X: {observables: X}}. By default the twins without
            entanglement, training, or the circuit itself. Where there is no circuit, there is no noise.
    """

    training: RunOptions
    seeds: Sequence[int] = field(default=(0, 1, 2, 3, 4), metadata=OF_SIZE)
    jobs: int | None = field(default=None, metadata=OF_MACHINE)
    folder: Path = field(default=Path("runs/comparison"), metadata=OF_FOLDER)
    storage: str | None = field(default=None, metadata=OF_MACHINE)
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: dict(TWINS))

    def __post_init__(self) -> None:
        _check_study(self)
        _set(self, seeds=check_seeds(self.seeds))
        model = self.training.model
        if model.circuit != "quantum":
            must = 'be "quantum" in a comparison, which sets it'
            raise argument_error("circuit", must, f"is {model.circuit!r}")
        for name, variant in self.models().items():
            if name != "quantum" and variant == model:
                raise argument_error("variants", "differ from the model", f"{name!r} does not")

    def models(self) -> dict[str, ModelOptions]:
        """The options of the model of each variant, "quantum" first.

        Raises:
            ValueError: if a name cannot be that of a folder, or what it changes is no option.
        """
        models = {"quantum": self.training.model}
        known = {field.name for field in fields(ModelOptions)}
        for name, changes in self.variants.items():
            if not isinstance(name, str) or not re.fullmatch(r"\w[\w .,+-]{0,59}", name):
                must = "have names of at most 60 letters, digits, spaces and .,+-"
                shown = f"{name!r:.61}..." if len(str(name)) > 60 else repr(name)
                raise argument_error("variants", must, f"has {shown}")
            if name in models:
                raise argument_error("variants", 'not be named "quantum"', "has one that is")
            if not isinstance(changes, Mapping) or not set(changes) <= known:
                must = f"map each name to options among {', '.join(sorted(known))}"
                raise argument_error("variants", must, f"{name!r} has {changes!r}")
            values = dict(changes)
            if isinstance(values.get("noise"), Mapping):
                values["noise"] = NoiseOptions(**values["noise"])
            if values.get("circuit") in ("mlp", "none"):
                values.setdefault("noise", NoiseOptions())
            models[name] = replace(self.training.model, **values)
        return models


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
        storage: URL of a database, by which machines without a common folder share the search; it has
            the name of the folder there.
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
    objective: Objective = "validation_loss"
    n_trials: int = field(default=50, metadata=OF_SIZE)
    jobs: int | None = field(default=None, metadata=OF_MACHINE)
    folder: Path = field(default=Path("runs/search"), metadata=OF_FOLDER)
    storage: str | None = field(default=None, metadata=OF_MACHINE)

    def __post_init__(self) -> None:
        _check_study(self)
        check_choice("objective", self.objective, Objective)
        _set(self, n_trials=check_integer("n_trials", self.n_trials, 1, MAX_SIZE))


def _check_study(options: NoiseSweepOptions | ComparisonOptions | SearchOptions) -> None:
    if options.jobs is not None:
        _set(options, jobs=check_integer("jobs", options.jobs, 1, MAX_SIZE))
    _set(options, folder=check_path("folder", options.folder))
    if not isinstance(options.storage, str | None):
        raise argument_error("storage", "be the URL of a database", f"is {options.storage!r}")
    if re.fullmatch(r"sqlite(\+\w+)?:(//)?(/:memory:)?", options.storage or ""):
        must = "be the URL of a database that lasts"
        raise argument_error("storage", must, f"is {options.storage}, in memory alone")
    if (options.storage or "").startswith("sqlite") and options.jobs != 1:
        but = f"is {options.jobs or 'not given'}"
        raise argument_error("jobs", "be 1 for SQLite, which one process at a time can use", but)


@dataclass(frozen=True)
class ReportData:
    """Where the images of a run are.

    Args:
        root: folder of torchvision's data sets; none stands for that of the training.
        download: whether torchvision may download the data set if it is not there, whatever the
            training was allowed.
    """

    root: Path | None = None
    download: bool = False

    def __post_init__(self) -> None:
        _set(self, download=check_boolean("download", self.download))
        if self.root is not None:
            _set(self, root=check_path("root", self.root))


@dataclass(frozen=True)
class ReportOptions:
    """A report on a finished run.

    Args:
        run: folder of the run.
        data: where its images are.
    """

    run: Path
    data: ReportData = field(default_factory=ReportData)

    def __post_init__(self) -> None:
        _set(self, run=check_path("run", self.run))


@dataclass(frozen=True)
class PredictionOptions:
    """Which model predicts, and how.

    Args:
        model: folder of a model, or of a finished run.
        top: number of classes to print for each image, the most probable first.
        invert: exchange light and dark, for pictures of dark on light; digits, mnist, fashion-mnist and
            kmnist are light on dark.
        backend: name of a backend; none stands for the one that the model was trained on.
        seed: of noise that is drawn.
    """

    model: Path
    top: int = 1
    invert: bool = False
    backend: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        _set(
            self,
            model=check_path("model", self.model),
            top=check_integer("top", self.top, 1, MAX_SIZE),
            invert=check_boolean("invert", self.invert),
            seed=check_seed("seed", self.seed),
        )


@dataclass(frozen=True)
class EvaluationData:
    """Where the test images are.

    Args:
        name: as for `sqdr train`; none stands for the data set that the model was trained on.
        root: folder of torchvision's data sets, or of one's own images. These are those in its `test`;
            without one, those on which the model was not trained.
        download: whether torchvision may download a data set that is not in `root`.
    """

    name: str | None = None
    root: Path = Path("datasets")
    download: bool = False

    def __post_init__(self) -> None:
        _set(
            self,
            root=check_path("root", self.root),
            download=check_boolean("download", self.download),
        )


@dataclass(frozen=True)
class EvaluationOptions:
    """What to evaluate a trained model on: each backend with each noise.

    Args:
        model: folder of a model, or of a finished run.
        backends: names of backends; empty stands for the one that the model was trained on.
        noises: each "saved" (what the model was trained with), "none", or a noise, for instance
            {after_rotation: {BitFlip: 0.02}}.
        device: instead of backends and noises: a device to compare without noise, as its calibration
            predicts, as it measures and mitigated. The name of a snapshot of Qiskit's runtime, such as
            FakeTorino, which Aer simulates.
        shots: measurements of the device for each image.
        layout: the qubit of the device for each wire; the least noisy ones by default.
        zero_noise: extrapolate the device's values to no noise as well, "linear" or "richardson".
        data: the test images.
        max_images: number of test images, drawn at random but always the same ones; all by default.
        batch_size: images evaluated at a time, a job of the device.
        seed: of noise that is drawn.
    """

    model: Path
    backends: Sequence[str] = ()
    noises: Sequence[Literal["saved", "none"] | NoiseOptions] = ("saved",)
    device: str | None = None
    shots: int = 1000
    layout: Sequence[int] = ()
    zero_noise: Literal["linear", "richardson"] | None = None
    data: EvaluationData = field(default_factory=EvaluationData)
    max_images: int | None = None
    batch_size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        size = self.max_images
        _set(
            self,
            model=check_path("model", self.model),
            batch_size=check_integer("batch_size", self.batch_size, 1, MAX_SIZE),
            seed=check_seed("seed", self.seed),
            max_images=None if size is None else check_integer("max_images", size, 1, MAX_SIZE),
        )
        if not self.noises:
            raise argument_error("noises", "hold at least one noise", "is empty")
        check_integer("shots", self.shots, 1, MAX_SHOTS)
        if self.device is not None and (self.backends or tuple(self.noises) != ("saved",)):
            must = "stand without backends and noises, since it has its own"
            raise argument_error("device", must, "is given with them")
        if self.device is None and (self.layout or self.zero_noise is not None):
            raise argument_error("device", "be given for a layout and zero_noise", "is not")


@dataclass(frozen=True)
class ExportOptions:
    """Which circuits of a trained model to write as OpenQASM, and where.

    Args:
        model: folder of a model, or of a finished run.
        folder: new or empty, for the programs and what says what they are.
        version: of OpenQASM, 3 or 2.
        measure: whether programs end with a measurement of every wire in the Z basis.
        max_images: number of test images, drawn at random but always the same ones.
        data: the test images, where no image files are given.
    """

    model: Path
    folder: Path = Path("openqasm")
    version: float = 3
    measure: bool = False
    max_images: int = 3
    data: EvaluationData = field(default_factory=EvaluationData)

    def __post_init__(self) -> None:
        _set(
            self,
            model=check_path("model", self.model),
            folder=check_path("folder", self.folder),
            measure=check_boolean("measure", self.measure),
            max_images=check_integer("max_images", self.max_images, 1, MAX_SIZE),
        )
        if self.version not in (2, 3):
            raise argument_error("version", "be 3 or 2", f"is {self.version!r}")

    @property
    def openqasm(self) -> Literal["2.0", "3.0"]:
        """The version as programs name it."""
        return "2.0" if self.version == 2 else "3.0"


@dataclass(frozen=True)
class BenchOptions:
    """The circuit and the batch whose training steps, forward and backward, are timed, in float32.

    Args:
        n_wires: wires of the circuit.
        n_blocks: re-uploading blocks.
        batch_size: samples in a step.
        encoding, rotation: axes of the rotations that take data and of those that are trained, "Rot" or
            a word of X, Y and Z.
        inputs: "repeat" or "split", each block reads features of its own.
        scaling: whether each angle of the data has a trained factor.
        entangler: "CZ" or "ZZ".
        entanglement: "none", "linear", "circular" or "full".
        observables: "Z", "X" or "Y" of every wire, or Pauli words such as [Z0, X1 X2].
        noise: noise of the circuit.
        backends: names of the backends; empty stands for all, see `sqdr backends`.
        device: "cpu" or "cuda".
        time_limit: seconds for each backend, its import and its preparations included.
    """

    n_wires: int = 9
    n_blocks: int = 2
    batch_size: int = 16
    encoding: str = FAMILY["encoding"]
    rotation: str = FAMILY["rotation"]
    inputs: Inputs = FAMILY["inputs"]
    scaling: bool = FAMILY["scaling"]
    entangler: Entangler = FAMILY["entangler"]
    entanglement: Literal["none", "linear", "circular", "full"] = "linear"
    observables: str | Sequence[str] = FAMILY["observables"]
    noise: NoiseOptions = field(default_factory=NoiseOptions)
    backends: Sequence[str] = ()
    device: Literal["cpu", "cuda"] = "cpu"
    time_limit: float = 60.0

    def __post_init__(self) -> None:
        _set(
            self,
            batch_size=check_integer("batch_size", self.batch_size, 1, MAX_SIZE),
            time_limit=check_number("time_limit", self.time_limit, 0),
            scaling=check_boolean("scaling", self.scaling),
        )
        if self.noise.device is not None:
            ansatz = Ansatz.chosen(self.n_wires, self.n_blocks, **self.family)
            _set(self, noise=self.noise.of_circuit(ansatz))

    @property
    def family(self) -> dict[str, Any]:
        """The arguments that choose a member of the family of circuits."""
        return _family_of(self)


def new_optimizer(options: RunOptions, groups: Iterable[dict[str, Any]]) -> torch.optim.Optimizer:
    """The optimizer of a training, for groups of parameters.

    Raises:
        ValueError: if it has no such options, or not with these values.
    """
    kind = getattr(torch.optim, options.optimizer)
    named = {str(name): value for name, value in options.optimizer_options.items()}
    for name in {"lr", "weight_decay"} & named.keys():
        option = "learning_rate" if name == "lr" else name
        raise argument_error("optimizer_options", f"leave {name} to `{option}`", "has it")
    values = {"lr": options.learning_rate, "weight_decay": options.weight_decay} | named
    try:
        optimizer: torch.optim.Optimizer = kind(list(groups), **values)
    except (TypeError, ValueError, RuntimeError) as error:
        must = f"be options of torch.optim.{options.optimizer}"
        raise argument_error("optimizer_options", must, f"{named} are not: {error}") from error
    return optimizer


def _check_optimizer(options: RunOptions) -> None:
    """ValueError unless the optimizer takes its options, and makes a step with them on the CPU."""
    must = f"be options of torch.optim.{options.optimizer}"
    defaults = signature(getattr(torch.optim, options.optimizer)).parameters
    for name, value in options.optimizer_options.items():
        default = defaults[name].default if name in defaults else Parameter.empty
        if isinstance(default, bool | None) and not isinstance(value, bool | None):
            # torch would take the text "false" for true.
            raise argument_error("optimizer_options", must, f"{name} is {value!r}, not true or false")
        if isinstance(default, int | float) and not isinstance(default, bool):
            check_number(f"optimizer_options.{name}", value)
        if isinstance(default, tuple):
            if not isinstance(value, Sequence) or len(value) != len(default):
                raise argument_error("optimizer_options", must, f"{name} is {value!r}, not two numbers")
            for number in value:
                check_number(f"optimizer_options.{name}", number)
    weight = torch.zeros(1, requires_grad=True)
    weight.grad = torch.zeros(1)
    optimizer = new_optimizer(options, [{"params": [weight]}])
    optimizer.param_groups[0]["lr"] = 1e-3  # a rate at which training diverges is no wrong option
    try:
        optimizer.step()
    except (AssertionError, RuntimeError) as error:
        but = f"{dict(options.optimizer_options)} are not: {error}"
        raise argument_error("optimizer_options", must, but) from error


def _refuse_beside(choice: str, others: Mapping[str, Any]) -> None:
    """ValueError if there is anything in the place of which the choice stands."""
    for name, value in others.items():
        if value not in ({}, [], (), 0, None):
            raise argument_error(name, f"be left out where there is a `{choice}`", f"is {value!r}")


def build_noise(options: NoiseOptions) -> NoiseModel:
    """The noise model that the options describe.

    Raises:
        ValueError: if one is out of its domain, or they name a device: see `NoiseOptions.of_circuit`.
    """
    if options.device is not None:
        raise argument_error(
            "device", "be left out where there is no circuit", f"is {options.device!r}"
        )
    channels = {
        "after_rotation": options.after_rotation,
        "after_entangler": options.after_entangler,
        "readout_error": options.readout_error,
    }
    if options.preset is None:
        if options.preset_options:
            raise argument_error("preset", "be given with `preset_options`", "is not")
        return NoiseModel.from_dict(channels)
    _refuse_beside("preset", channels)
    named = {str(name): value for name, value in options.preset_options.items()}
    return NoiseModel.preset(options.preset, **named)
