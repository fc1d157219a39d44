"""Training runs: a configuration in, a folder with everything about the run out."""

from __future__ import annotations

import csv
import io
import logging
import math
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, cast

import lightning
import torch
from filelock import FileLock, Timeout
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, RichProgressBar
from lightning.pytorch.plugins import TorchCheckpointIO
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from sqdr.experiment import plots
from sqdr.experiment.data.sets import ImageData
from sqdr.experiment.folders import check_folder, write_configuration
from sqdr.experiment.options import ModelOptions, RunOptions, TrainerOptions, as_plain, build_noise
from sqdr.experiment.provenance import keep_provenance
from sqdr.experiment.training.batch_norm import SharedBatchNorm
from sqdr.experiment.training.monitoring import (
    PARTS,
    GradientNorms,
    gradient_norm_name,
    tensorboard_logger,
)
from sqdr.experiment.training.twins import make_twin
from sqdr.files import UNFINISHED, whole_file, write_rows
from sqdr.model import SQDR_CNN
from sqdr.validation import argument_error, check_integer, check_number, check_seed


class Classifier(lightning.LightningModule):
    """Cross-entropy training of a classifier with AdamW and a one-cycle learning rate.

    Its checkpoints hold the states of all random generators, so that what follows one is drawn as if
    the process had gone on.
    """

    def __init__(self, model: SQDR_CNN, num_class: int, options: RunOptions) -> None:
        super().__init__()
        self.model = model
        self.options = options
        self.loss = nn.CrossEntropyLoss(label_smoothing=options.label_smoothing)
        # One process tests alone.
        shared: dict[str, Any] = {s: {"sync_on_compute": s != "test"} for s in _STAGES}
        self.losses = nn.ModuleDict({f"of_{stage}": MeanLoss(**shared[stage]) for stage in _STAGES})
        self.accuracies = nn.ModuleDict(
            {
                f"of_{stage}": MulticlassAccuracy(num_class, average="micro", **shared[stage])
                for stage in _STAGES
            }
        )
        self.confusion = MulticlassConfusionMatrix(num_class, **shared["test"])
        self._random_state = torch.get_rng_state()
        self._cuda_random_state: Tensor | None = None
        if options.trainer.precision == "64-true":
            # Lightning does so too, but after it has loaded the checkpoint to resume from.
            self.double()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images)
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        return self._evaluate("training", batch)[0]

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        self._evaluate("validation", batch)

    def test_step(self, batch: tuple[Tensor, Tensor]) -> None:
        logits = self._evaluate("test", batch)[1]
        self.confusion.update(logits, batch[1])

    def on_train_batch_end(self, *_: Any) -> None:
        noise = self.model.quantum.noise if self.model.quantum else None
        if noise is not None:
            for strength in (each for _, _, each in noise.named_strengths()):
                if isinstance(strength, nn.Parameter):  # a probability, which the step may leave
                    strength.data.clamp_(0, 1)

    def configure_optimizers(self) -> Any:
        options = self.options
        head = list(self.model.head.parameters())
        others = [*self.model.spiking.parameters(), *self.model.circuit.parameters()]
        rate = options.head_learning_rate
        rates = [options.learning_rate, options.learning_rate if rate is None else rate]
        optimizer = torch.optim.AdamW(
            [{"params": others}, {"params": head}], weight_decay=options.weight_decay
        )
        # Lightning's own count starts on the batches, which would draw random numbers too early.
        n_steps = options.epochs * len(cast(Any, self.trainer).datamodule.train_dataloader())
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=n_steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        states = {"torch": torch.get_rng_state()}
        if self.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.device)
        generator = self._generator_of_circuit()
        if generator is not None:
            states["circuit"] = generator.get_state()
        checkpoint["random_states"] = states
        checkpoint["options"] = as_plain(self.options) | {"run": None}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        states = checkpoint["random_states"]
        generator = self._generator_of_circuit()
        if generator is not None:
            generator.set_state(states["circuit"])
        self._random_state = states["torch"]
        self._cuda_random_state = states.get("cuda")

    def on_fit_start(self) -> None:
        # Not when the checkpoint is loaded, since Lightning may draw before the first batch, and seeds
        # torch again where there are several processes.
        torch.set_rng_state(self._random_state)
        if self._cuda_random_state is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(self._cuda_random_state, self.device)

    def on_train_epoch_start(self) -> None:
        generator = self._generator_of_circuit()
        if self.trainer.world_size > 1 and generator is not None:
            # Each process draws for its own images. A seed for each epoch needs no checkpoint.
            of_process = self.options.seed, self.trainer.current_epoch, self.trainer.global_rank
            generator.manual_seed(Random(str(of_process)).getrandbits(63))

    def _generator_of_circuit(self) -> torch.Generator | None:
        """Where noise and shots are drawn from; None if there is nothing to draw."""
        return self.model.quantum.generator if self.model.quantum else None

    def _evaluate(self, stage: str, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        images, labels = batch
        logits = self(images)
        loss: Tensor = self.loss(logits, labels)
        mean_loss, accuracy = (
            cast(Metric, metrics[f"of_{stage}"]) for metrics in (self.losses, self.accuracies)
        )
        mean_loss.update(loss.detach(), len(labels))
        accuracy.update(logits, labels)
        show: Any = {"on_step": False, "on_epoch": True, "batch_size": len(labels)}
        self.log(f"{stage}_loss", mean_loss, **show)
        self.log(f"{stage}_accuracy", accuracy, prog_bar=stage == "validation", **show)
        return loss, logits


_STAGES = ("training", "validation", "test")
_COLUMNS = [
    "epoch",
    *(f"{s}_{m}" for s in _STAGES[:2] for m in ("loss", "accuracy")),
    *map(gradient_norm_name, PARTS),  # empty for a part without a gradient
]


class MeanLoss(Metric):
    """Mean over the images of all processes; torchmetrics' `MeanMetric` leaves out NaN, or weights."""

    total: Tensor
    n_images: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("n_images", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, loss: Tensor, n_images: int) -> None:
        self.total = self.total + loss * n_images
        self.n_images = self.n_images + n_images

    def compute(self) -> Tensor:
        return self.total / self.n_images


class RunFiles(Callback):
    """Writes metrics.csv, best.ckpt and last.ckpt after each epoch, in this order.

    last.ckpt holds all that later epochs depend on. Wherever a run is killed, what it did since the
    last last.ckpt is done again, and writes the same files again.

    Attributes:
        rows (list of dict): the metrics of each finished epoch; also part of every checkpoint.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: lightning.Trainer, _: Any) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.rows.append({"epoch": trainer.current_epoch, **metrics})
        if trainer.is_global_zero:
            write_rows(self.folder / "metrics.csv", _COLUMNS, self.rows)
        losses = [row["validation_loss"] for row in self.rows]
        if losses.index(min(losses, key=_not_a_number_last)) == len(losses) - 1:
            trainer.save_checkpoint(self.folder / _BEST)
        trainer.save_checkpoint(self.folder / _LAST)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that are whole or not there at all.

    Lightning writes a temporary file too, but elsewhere: moving it from another disk is a copy, and
    half of it may be there when the process is killed.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | Path,
        storage_options: Any = None,  # noqa: ARG002
    ) -> None:
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        # Into memory first: on a full disk torch.save ends in an error about positions in its file.
        content = io.BytesIO()
        torch.save(checkpoint, content)
        with whole_file(file) as unfinished:
            unfinished.write_bytes(content.getbuffer())


class Run:
    """A training run, checked and ready: data loaded, model built, folder made.

    Args:
        options (RunOptions): see there.
        resume (bool): whether to go on with the run in `options.run`, which begins if it has not begun
            yet. It ends as it would have ended if it had not been interrupted. Default: False.

    Attributes:
        folder (Path): where everything about the run is written.
        model (SQDR_CNN): the classifier.
        checkpoint (Path or None): where training goes on from; None for the beginning.
        accuracy (float or None): on the test images, in [0, 1], if the run is finished.
        why_no_model (str or None): why `train` has not written the folder `model`.
        is_main_process (bool): whether this process is the one that writes, tests and reports.

    Raises:
        ValueError: if an option is out of its domain, the folder is not empty, or the one to resume is
            in use, damaged or of other options.
        FileNotFoundError: if the data set is not there and may not be downloaded.
        ImportError: if a package that the run needs is missing.
    """

    def __init__(self, options: RunOptions, resume: bool = False) -> None:
        if resume and options.run is None:
            raise argument_error("run", "be given to resume a run", "is not")
        self.options = options
        self.folder = options.run or _folder_of_now(options)
        configuration = as_plain(options) | {"run": None}  # the file can be used for another run
        self._processes = _count_processes(options.trainer)
        trainer = new_trainer(options.trainer, *self._processes)
        self.is_main_process = trainer.is_global_zero
        if self.is_main_process and options.run is not None:
            self._check_folder(configuration, resume)
        self.data, self.model = prepare(options)
        self._classifier = Classifier(self.model, len(self.data.class_names), options)
        if options.tensorboard:
            tensorboard_logger(self.folder)  # which says whether it can be had
        self._check_shares(trainer.world_size)
        self.checkpoint: Path | None = None
        self.accuracy: float | None = None
        self.why_no_model: str | None = None
        self._lock: FileLock | None = None
        try:
            if self.is_main_process:
                self._claim_folder(configuration, resume, trainer.strategy.root_device)
            if resume:
                self._read_folder()
        except BaseException:
            self._release_folder()
            raise

    def train(self, show_progress: bool = True) -> float:
        """Train, test the best epoch's weights, and write the run folder.

        Args:
            show_progress (bool): whether to show a progress bar if stdout is a terminal. Default: True.

        Returns:
            float: accuracy on the test images, in [0, 1].
        """
        try:
            if self.accuracy is None:
                self.accuracy = self._train_and_test(show_progress and sys.stdout.isatty())
            return self.accuracy
        finally:
            self._release_folder()

    def _train_and_test(self, show_progress: bool) -> float:
        files = RunFiles(self.folder)
        trainer = new_trainer(
            self.options.trainer,
            *self._processes,
            max_epochs=self.options.epochs,
            callbacks=[GradientNorms(), files, *([RichProgressBar()] if show_progress else [])],
            logger=tensorboard_logger(self.folder) if self.options.tensorboard else False,
            log_every_n_steps=1,
            enable_progress_bar=show_progress,
            default_root_dir=self.folder,
        )
        try:
            with quiet():
                trainer.fit(self._classifier, self.data, ckpt_path=self.checkpoint, weights_only=True)
        except SIGTERMException:  # with which Lightning would end the process as if all were well
            raise SystemExit(128 + signal.SIGTERM) from None
        accuracy = self._test(files.rows) if self.is_main_process else math.nan
        of_all: float = trainer.strategy.broadcast(accuracy)
        return of_all

    def _test(self, rows: list[dict[str, float]]) -> float:
        """Accuracy of the best epoch's weights; writes pictures, the folder `model` and test.csv."""
        classifier = self._classifier
        best_epoch = load_checkpoint(classifier, self.folder / _BEST)
        tester = new_trainer(
            self.options.trainer, 1, 1, enable_progress_bar=False, default_root_dir=self.folder
        )
        with quiet():
            tester.test(classifier, self.data, verbose=False)
        confusion = classifier.confusion.compute().tolist()
        pictures = {
            "curves.png": plots.curves(rows),
            "confusion.png": plots.confusion_matrix(confusion, self.data.class_names),
        }
        for name, figure in pictures.items():
            with whole_file(self.folder / name) as unfinished:
                figure.savefig(unfinished)
        row = {name: float(value) for name, value in tester.callback_metrics.items()}
        self._save_model(row["test_accuracy"], rows[best_epoch])
        write_rows(self.folder / _TEST, list(row), [row])  # the last file: the run is finished
        return row["test_accuracy"]

    def _save_model(self, accuracy: float, best_epoch: Mapping[str, float]) -> None:
        """Write the folder `model` to share, or say why not."""
        circuit = self.options.model.circuit
        if circuit in ("mlp", "none"):
            self.why_no_model = f'circuit "{circuit}" makes a twin of the classifier, for comparison'
        elif not is_finite(self.model):
            self.why_no_model = "training has diverged, to weights that are not finite"
        if self.why_no_model:
            return
        options, data, head_rate = self.options, self.data, self.options.head_learning_rate
        self.model.save_pretrained(
            self.folder / "model",
            class_names=data.class_names,
            image_size=data.test.images.shape[-1],
            data_name=options.data.name,
            data_classes=options.data.classes,
            metrics={
                "test": {"accuracy": accuracy},
                "validation": {"accuracy": best_epoch["validation_accuracy"]},
            },
            training={
                "training images": len(data.train.labels),
                "validation images": len(data.validation.labels),
                "test images": len(data.test.labels),
                "epoch of these weights": f"{best_epoch['epoch'] + 1} of {options.epochs}, "
                "that of the lowest validation loss",
                "optimiser": "AdamW with a one-cycle learning rate",
                "peak learning rate": options.learning_rate,
                "peak learning rate of the head": "the same" if head_rate is None else head_rate,
                "weight decay": options.weight_decay,
                "label smoothing": options.label_smoothing,
                "batch size": options.data.batch_size,
                "augmentation": options.data.augmentation,
                "seed": options.seed,
            },
        )

    def _check_folder(self, configuration: dict[str, Any], resume: bool) -> None:
        """Accept a new or empty folder, or the run to resume."""
        if resume:
            check_folder("run", self.folder, configuration, {_LOCK}, _OF_MACHINES)
        elif self.folder.exists() and not _is_empty(self.folder):
            raise argument_error("run", "be a new or empty folder", f"{self.folder} is not")

    def _check_shares(self, n_processes: int) -> None:
        """Accept only processes that each have the same part of a batch."""
        batch_size, n_training = self.options.data.batch_size, len(self.data.train.labels)
        if self.data.batch_size % n_processes:
            must = f"be divisible by the {n_processes} processes"
            but = f"is {batch_size}"
            if batch_size > n_training:
                must = f"make batches that {n_processes} processes can divide"
                but += f", which puts all {n_training} training images into one"
            raise argument_error("batch_size", must, but)
        n_images = len(self.data.validation.labels)
        if n_images < n_processes:
            must = f"leave an image for each of {n_processes} processes"
            raise argument_error("validation_fraction", must, f"leaves {n_images}")

    def _claim_folder(self, configuration: dict[str, Any], resume: bool, device: torch.device) -> None:
        """Make the folder that of this run, without what a killed process was writing."""
        if self.options.run is None:
            self.folder = _make_folder(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.folder / _LOCK)
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            but = f"another process trains in {self.folder}"
            raise argument_error("run", "not be in use", but) from None
        self._check_folder(configuration, resume)  # another process may have been here meanwhile
        for unfinished in list(self.folder.rglob(f"{UNFINISHED}*")):
            if unfinished.is_dir():
                shutil.rmtree(unfinished)
            else:
                unfinished.unlink()
        write_configuration(self.folder, configuration)
        keep_provenance(self.folder, device, torch.get_num_threads())

    def _release_folder(self) -> None:
        """Let other processes have the folder, if this one has it."""
        if self._lock is not None:
            self._lock.release()

    def _read_folder(self) -> None:
        """Find out how far the run is; ValueError if its files are damaged."""
        self.accuracy = read_accuracy(self.folder)
        last = self.folder / _LAST
        if self.accuracy is None and last.exists():
            for file in (self.folder / _BEST, last):
                load_checkpoint(self._classifier, file)
            self.checkpoint = last


_BEST = Path("checkpoints", "best.ckpt")
_LAST = Path("checkpoints", "last.ckpt")
_TEST = "test.csv"
_LOCK = "run.lock"
#: Options that may change when a run is resumed: where the data is, and who computes.
_OF_MACHINES = {
    "data.root",
    "data.download",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
}


def _is_empty(folder: Path) -> bool:
    """Whether a path is a folder without files, but for the lock of a run that could not start."""
    return folder.is_dir() and all(path.name == _LOCK for path in folder.iterdir())


def read_accuracy(folder: Path) -> float | None:
    """Accuracy on the test images, in [0, 1], of the run in a folder; None if it is not finished."""
    file = folder / _TEST
    if not file.exists():
        return None
    try:
        with file.open(newline="") as stream:
            return float(next(csv.DictReader(stream))["test_accuracy"])
    except (StopIteration, KeyError, TypeError, ValueError, csv.Error) as error:
        raise argument_error(
            "run", "hold a whole test.csv or none", f"{file} has no accuracy"
        ) from error


def load_checkpoint(classifier: Classifier, file: Path) -> int:
    """Give a classifier the weights and random generators of a checkpoint.

    Returns:
        int: the epoch that they are from.

    Raises:
        ValueError: if the file is damaged, or of another model.
    """
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
        classifier.load_state_dict(checkpoint["state_dict"])
        classifier.on_load_checkpoint(checkpoint)
        return int(checkpoint["epoch"])
    except Exception as error:  # torch's unpickler raises whatever it meets
        must = "hold a whole checkpoint that fits its configuration"
        summary = str(error).partition("\n")[0].rstrip(":")
        raise argument_error("run", must, f"{file} does not load: {summary}") from error


def is_finite(module: nn.Module) -> bool:
    """Whether all weights are finite, those of a trained model unless training has diverged."""
    return all(bool(tensor.isfinite().all()) for tensor in module.state_dict().values())


def new_trainer(
    options: TrainerOptions, devices: int, num_nodes: int, **settings: Any
) -> lightning.Trainer:
    """Lightning's trainer of this process.

    Args:
        options (TrainerOptions): accelerator and precision.
        devices (int): processes on each machine.
        num_nodes (int): machines.
        **settings: further arguments of `lightning.Trainer`.

    Raises:
        ValueError: if there are no such devices.
    """
    is_shared = devices * num_nodes > 1
    plugins: list[Any] = [WholeCheckpoints(), *([SharedBatchNorm()] if is_shared else [])]
    if not torch.distributed.is_torchelastic_launched():
        # Else Lightning takes the tasks of a SLURM job for processes of one training.
        environment = LightningEnvironment()
        environment.set_global_rank(0)
        plugins.append(environment)
    try:
        with quiet():
            return lightning.Trainer(
                accelerator=options.accelerator,
                devices=devices,
                num_nodes=num_nodes,
                precision=options.precision,
                # All processes compute the same statistics, so there are no buffers to send.
                strategy=DDPStrategy(broadcast_buffers=False) if is_shared else "auto",
                plugins=plugins,
                use_distributed_sampler=False,
                enable_checkpointing=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
                **{"logger": False} | settings,
            )
    except MisconfigurationException as error:
        raise ValueError(str(error)) from error


def device_of(options: TrainerOptions) -> torch.device:
    """Where a training in one process computes.

    Raises:
        As `new_trainer`.
    """
    device: torch.device = new_trainer(options, devices=1, num_nodes=1).strategy.root_device
    return device


def prepare(options: RunOptions) -> tuple[ImageData, SQDR_CNN]:
    """The data and the freshly initialised classifier of a run, with every option checked.

    Random generators are seeded, so that training can follow.

    Raises:
        As `Run`.
    """
    check_integer("epochs", options.epochs, 1)
    check_seed("seed", options.seed)
    check_number("learning_rate", options.learning_rate, 0)
    if options.head_learning_rate is not None:
        check_number("head_learning_rate", options.head_learning_rate, 0)
    check_number("weight_decay", options.weight_decay, 0)
    check_number("label_smoothing", options.label_smoothing, 0, 1)
    data = ImageData(options.data)
    with quiet():
        lightning.seed_everything(options.seed, verbose=False)
    return data, build_model(options.model, data.in_channels, len(data.class_names))


def build_model(options: ModelOptions, in_channels: int, num_class: int) -> SQDR_CNN:
    """A freshly initialised classifier, or the twin of one."""
    noise = build_noise(options.noise)
    if noise and options.circuit in ("mlp", "none"):
        raise argument_error("noise", f'be empty for circuit "{options.circuit}"', f"is {noise}")
    if options.head == "none" and options.circuit == "none":
        raise argument_error("head", 'not be "none" for circuit "none"', "is")
    if options.head == "none" and num_class != options.n_wires:
        raise argument_error(
            "head", f'not be "none" for {num_class} classes', f"there are {options.n_wires} wires"
        )
    model = SQDR_CNN(
        options.T,
        in_channels,
        num_class,
        options.n_wires,
        options.qdr_block,
        options.init_mode,
        options.init_range,
        backend=options.backend,
        noise=noise,
        entanglement=options.entanglement,
        width=options.width,
        angle_scale=options.angle_scale,
        head=options.head,
    )
    return make_twin(model, options.circuit)


def count_parameters(model: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _folder_of_now(options: RunOptions) -> Path:
    now = datetime.now().strftime("%Y%m%d-%H%M%S")
    return Path("runs") / f"{options.data.name}-{options.model.backend}-{now}"


def _make_folder(folder: Path) -> Path:
    """A new folder of this name, with "-2", "-3", ... behind it where another run was first."""
    made, number = folder, 1
    while True:
        try:
            made.mkdir(parents=True)
        except FileExistsError:
            number += 1
            made = folder.with_name(f"{folder.name}-{number}")
        else:
            return made


def _count_processes(options: TrainerOptions) -> tuple[int, int]:
    """Processes on each machine, and machines: those that torchrun has started, if it has."""
    asked_for = {"devices": options.devices, "num_nodes": options.num_nodes}
    started = None
    if torch.distributed.is_torchelastic_launched():
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        started = {"devices": devices, "num_nodes": int(os.environ["WORLD_SIZE"]) // devices}
    for name, number in asked_for.items():
        if number is not None:
            check_integer(name, number, 1)
        if started and number not in (None, started[name]):
            must = f"be the {started[name]} of torchrun"
            raise argument_error(name, must, f"is {number}")
    numbers = started or {name: number or 1 for name, number in asked_for.items()}
    return numbers["devices"], numbers["num_nodes"]


def _not_a_number_last(value: float) -> float:
    return math.inf if math.isnan(value) else value


@contextmanager
def quiet() -> Iterator[None]:
    """Lightning and DDP without their notes on hardware and their advice."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*does not have many workers")
            warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)  # Lightning 2.6, torch 2.15
            warnings.filterwarnings("ignore", ".*`broadcast_buffers` is deprecated")  # torch 2.15
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
