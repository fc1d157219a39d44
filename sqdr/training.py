"""Training runs: a configuration in, a folder with everything about the run out."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import lightning
import torch
import yaml
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichProgressBar
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from sqdr import plots
from sqdr.data import ImageData
from sqdr.files import write_rows
from sqdr.model import SQDR_CNN
from sqdr.monitoring import PARTS, GradientNorms, gradient_norm_name, tensorboard_logger
from sqdr.noise import NoiseModel
from sqdr.options import ModelOptions, NoiseOptions, RunOptions, as_plain
from sqdr.twins import make_twin
from sqdr.validation import argument_error, check_integer, check_number


class Classifier(lightning.LightningModule):
    """Cross-entropy training of a classifier with AdamW and a one-cycle learning rate."""

    def __init__(self, model: SQDR_CNN, num_class: int, options: RunOptions) -> None:
        super().__init__()
        self.model = model
        self.options = options
        self.loss = nn.CrossEntropyLoss(label_smoothing=options.label_smoothing)
        self.accuracies = nn.ModuleDict(
            {f"of_{stage}": MulticlassAccuracy(num_class, average="micro") for stage in _STAGES}
        )
        self.confusion = MulticlassConfusionMatrix(num_class)

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
        noise = getattr(self.model.circuit, "noise", None)
        if noise is not None:
            for _, _, strength in noise.named_strengths():
                if isinstance(strength, nn.Parameter):  # a probability, which the step may leave
                    strength.data.clamp_(0, 1)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["options"] = as_plain(self.options)

    def configure_optimizers(self) -> Any:
        options = self.options
        head = list(self.model.head.parameters())
        others = [*self.model.spiking.parameters(), *self.model.circuit.parameters()]
        rate = options.head_learning_rate
        rates = [options.learning_rate, options.learning_rate if rate is None else rate]
        optimizer = torch.optim.AdamW(
            [{"params": others}, {"params": head}], weight_decay=options.weight_decay
        )
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=rates,
            total_steps=int(self.trainer.estimated_stepping_batches),
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def _evaluate(self, stage: str, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        images, labels = batch
        logits = self(images)
        loss: Tensor = self.loss(logits, labels)
        accuracy = cast(Metric, self.accuracies[f"of_{stage}"])
        accuracy(logits, labels)
        show: Any = {"on_step": False, "on_epoch": True, "batch_size": len(labels)}
        self.log(f"{stage}_loss", loss, **show)
        self.log(f"{stage}_accuracy", accuracy, prog_bar=stage == "validation", **show)
        return loss, logits


_STAGES = ("training", "validation", "test")
_COLUMNS = [
    "epoch",
    *(f"{s}_{m}" for s in _STAGES[:2] for m in ("loss", "accuracy")),
    *map(gradient_norm_name, PARTS),  # empty for a part without a gradient
]


class MetricsFile(Callback):
    """Writes one row of metrics an epoch to metrics.csv.

    Attributes:
        rows (list of dict): one for each finished epoch; also part of every checkpoint.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: lightning.Trainer, _: Any) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.rows.append({"epoch": trainer.current_epoch, **metrics})
        write_rows(self.file, _COLUMNS, self.rows)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]


class Run:
    """A training run, checked and ready: data loaded, model built, folder made.

    Args:
        options (RunOptions): see there.

    Attributes:
        folder (Path): where everything about the run is written.
        model (SQDR_CNN): the classifier.

    Raises:
        ValueError: if an option is out of its domain, or the folder is not empty.
        FileNotFoundError: if the data set is not there and may not be downloaded.
        ImportError: if a package that the run needs is missing.
    """

    def __init__(self, options: RunOptions) -> None:
        folder = options.run or _new_folder(options)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise argument_error("run", "be a new or empty folder", f"{folder} is not")
        self.options = options
        self.folder = folder
        self.data, self.model = prepare(options)
        self._logger = tensorboard_logger(folder) if options.tensorboard else False
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(_as_yaml(options))

    def train(self, show_progress: bool = True) -> float:
        """Train, test the best epoch's weights, and write the run folder.

        Args:
            show_progress (bool): whether to show a progress bar if stdout is a terminal. Default: True.

        Returns:
            float: accuracy on the test images, in [0, 1].
        """
        classifier = Classifier(self.model, len(self.data.class_names), self.options)
        metrics = MetricsFile(self.folder / "metrics.csv")
        best = ModelCheckpoint(
            self.folder / "checkpoints",
            filename="best",
            monitor="validation_loss",
            save_last=True,
            save_on_train_epoch_end=True,  # after the epoch's row of metrics
            enable_version_counter=False,
        )
        show_progress = show_progress and sys.stdout.isatty()
        with _quiet():
            trainer = lightning.Trainer(
                max_epochs=self.options.epochs,
                callbacks=[
                    GradientNorms(),
                    metrics,
                    best,
                    *([RichProgressBar()] if show_progress else []),
                ],
                logger=self._logger,
                log_every_n_steps=1,
                enable_progress_bar=show_progress,
                enable_model_summary=False,
                num_sanity_val_steps=0,
                default_root_dir=self.folder,
            )
            trainer.fit(classifier, self.data)
            # Before the test, which takes the callbacks back to the best epoch.
            plots.curves(metrics.rows).savefig(self.folder / "curves.png")
            trainer.test(classifier, self.data, ckpt_path="best", verbose=False)
        accuracy = float(trainer.callback_metrics["test_accuracy"])
        confusion = classifier.confusion.compute()
        figure = plots.confusion_matrix(confusion.tolist(), self.data.class_names)
        figure.savefig(self.folder / "confusion.png")
        self._save_model(accuracy, metrics.rows[-1])
        return accuracy

    def _save_model(self, accuracy: float, best_epoch: Mapping[str, float]) -> None:
        """Write the folder `model` to share, unless training diverged or the model is a twin."""
        is_twin = self.options.model.circuit in ("mlp", "none")
        if is_twin or not all(tensor.isfinite().all() for tensor in self.model.state_dict().values()):
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


def prepare(options: RunOptions) -> tuple[ImageData, SQDR_CNN]:
    """The data and the freshly initialised classifier of a run, with every option checked.

    Random generators are seeded, so that training can follow.

    Raises:
        As `Run`.
    """
    check_integer("epochs", options.epochs, 1)
    check_integer("seed", options.seed, 0)
    check_number("learning_rate", options.learning_rate, 0)
    if options.head_learning_rate is not None:
        check_number("head_learning_rate", options.head_learning_rate, 0)
    check_number("weight_decay", options.weight_decay, 0)
    check_number("label_smoothing", options.label_smoothing, 0, 1)
    data = ImageData(options.data)
    with _quiet():
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
    return NoiseModel.preset(options.preset, **options.preset_options)


def _new_folder(options: RunOptions) -> Path:
    now = datetime.now().strftime("%Y%m%d-%H%M%S")
    return Path("runs") / f"{options.data.name}-{options.model.backend}-{now}"


def _as_yaml(options: RunOptions) -> str:
    """The options as a file for `--config`; the folder is left out, so that it can be used again."""
    return str(yaml.safe_dump(as_plain(options) | {"run": None}, sort_keys=False))


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning without its notes on hardware and its advice on workers."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*does not have many workers")
            warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)  # Lightning 2.6, torch 2.15
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
