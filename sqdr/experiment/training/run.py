"""Training runs: a configuration in, a folder with everything about the run out."""

from __future__ import annotations

import math
import signal
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException

from sqdr.experiment import plots
from sqdr.experiment.data.folder import keep_record
from sqdr.experiment.option_names import as_configuration
from sqdr.experiment.options import RunOptions
from sqdr.experiment.training.classifier import Classifier
from sqdr.experiment.training.epochs import EpochRows, Row, best_epoch, has_diverged
from sqdr.experiment.training.monitoring import GradientNorms, check_logger, new_logger
from sqdr.experiment.training.preparation import prepare
from sqdr.experiment.training.progress import RunProgress
from sqdr.experiment.training.run_folder import RunFolder, new_folder
from sqdr.experiment.training.trainer import count_processes, new_trainer, quiet
from sqdr.experiment.training.within_epoch import CheckpointsWithinEpoch
from sqdr.validation import argument_error


class Run:
    """A training run, checked and ready: data loaded, model built, folder made.

    Args:
        options (RunOptions): see there.
        resume (bool): whether to go on with the run in `options.run`, which begins if it has not begun
            yet. It ends as it would have ended if it had not been interrupted. Default: False.

    Attributes:
        model (SQDR_CNN): the classifier.
        has_new_head (bool): whether the head begins anew, unlike what has the weights of `init_from`.
        checkpoint (Path or None): where training goes on from; None for the beginning.
        accuracy (float or None): on the test images, in [0, 1], if the run is finished.
        has_diverged (bool): whether the training that `train` has done ended in no finite loss.
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
        self._files = RunFolder(options.run or _folder_of_now(options))
        configuration = as_configuration(options)
        self._processes = count_processes(options.trainer)
        trainer = new_trainer(options.trainer, *self._processes)
        self.is_main_process = trainer.is_global_zero
        if self.is_main_process and options.run is not None:
            self._files.check(configuration, resume)
        begun = resume and self._files.last.exists()
        self.data, self.model, self.has_new_head = prepare(options, initialise=not begun)
        self._classifier = Classifier(self.model, len(self.data.class_names), options)
        if options.metrics_logger:
            check_logger(options.metrics_logger)
        self._check_shares(trainer.world_size)
        self.checkpoint: Path | None = None
        self.accuracy: float | None = None
        self.has_diverged = False
        self.why_no_model: str | None = None
        try:
            if self.is_main_process:
                if options.run is None:
                    self._files = RunFolder(new_folder(self.folder))
                self._files.claim(configuration, resume, trainer.strategy.root_device)
                keep_record(self.folder, self.data.record)
            if resume:
                self._find_checkpoint()
        except BaseException:
            self._files.release()
            raise

    @property
    def folder(self) -> Path:
        """Where everything about the run is written."""
        return self._files.path

    def train(self, show_progress: bool = True) -> float:
        """Train, test the best epoch's weights, and write the run folder.

        Args:
            show_progress (bool): whether to show how far it is: a bar where stdout is a terminal,
                elsewhere a line for each epoch. Default: True.

        Returns:
            float: accuracy on the test images, in [0, 1].
        """
        try:
            if self.accuracy is None:
                self.accuracy = self._train_and_test(show_progress)
            return self.accuracy
        finally:
            self._files.release()

    def _train_and_test(self, show_progress: bool) -> float:
        rows = RunFiles(self._files, self.options)
        within = CheckpointsWithinEpoch(self._files.last, self.options.checkpoint_minutes)
        callbacks: list[Callback] = [GradientNorms(), within, rows]
        if show_progress and self.is_main_process:
            callbacks.append(RunProgress(self.data.batch_size))
        logger = self.options.metrics_logger
        trainer = new_trainer(
            self.options.trainer,
            *self._processes,
            max_epochs=self.options.epochs,
            callbacks=callbacks,
            logger=new_logger(logger, self.folder) if logger else False,
            log_every_n_steps=1,
            enable_progress_bar=False,
            default_root_dir=self.folder,
        )
        try:
            with quiet():
                trainer.fit(self._classifier, self.data, ckpt_path=self.checkpoint, weights_only=True)
        except SIGTERMException:  # with which Lightning would end the process as if all were well
            raise SystemExit(128 + signal.SIGTERM) from None
        accuracy = self._test(rows.rows) if self.is_main_process else math.nan
        of_all: float = trainer.strategy.broadcast(accuracy)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            # A process that ends before the others have received may take the message with it.
            torch.distributed.barrier()
            torch.distributed.destroy_process_group()
        return of_all

    def _test(self, rows: list[Row]) -> float:
        """Accuracy of the best epoch's weights; writes pictures, the folder `model` and test.csv."""
        classifier = self._classifier
        best = rows[self._files.load_best(classifier)]
        self.has_diverged = has_diverged(rows)
        tester = new_trainer(
            self.options.trainer, 1, 1, enable_progress_bar=False, default_root_dir=self.folder
        )
        with quiet():
            tester.test(classifier, self.data, verbose=False)
        confusion = classifier.confusion.compute().tolist()
        self._files.write_picture("curves.png", plots.curves(rows, best_epoch(rows)))
        self._files.write_picture(
            "confusion.png", plots.confusion_matrix(confusion, self.data.class_names)
        )
        row = {name: float(value) for name, value in tester.callback_metrics.items()}
        self._save_model(row["test_accuracy"], best)
        self._files.write_test(row)  # the last file: the run is finished
        return row["test_accuracy"]

    def _save_model(self, accuracy: float, best_epoch: Mapping[str, float]) -> None:
        """Write the folder `model` to share, or say why not."""
        circuit = self.options.model.circuit
        if circuit in ("mlp", "none"):
            self.why_no_model = f'circuit "{circuit}" makes a twin of the classifier, for comparison'
        elif self.has_diverged:
            self.why_no_model = "training has diverged, to weights that are not finite"
        if self.why_no_model:
            return
        options, data, head_rate = self.options, self.data, self.options.head_learning_rate
        self.model.save_pretrained(
            self._files.model,
            class_names=data.class_names,
            image_size=data.test.images.shape[-1],
            data_name=options.data.name,
            data_classes=options.data.classes,
            data_split_seed=data.split_seed,
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
                "optimiser": f"{options.optimizer} with a one-cycle learning rate",
                "peak learning rate": options.learning_rate,
                "peak learning rate of the head": "the same" if head_rate is None else head_rate,
                "weight decay": options.weight_decay,
                "label smoothing": options.label_smoothing,
                "batch size": options.data.batch_size,
                "augmentation": options.data.augmentation,
                "seed": options.seed,
            },
        )

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

    def _find_checkpoint(self) -> None:
        """Find out how far the run is; ValueError if its files are damaged."""
        self.accuracy = self._files.read_accuracy()
        if self.accuracy is not None and self._files.best.exists():
            self._files.load_best(self._classifier)
        elif self.accuracy is None and self._files.last.exists():
            if self._files.load_last(self._classifier):
                self._files.load_best(self._classifier)
            self.checkpoint = self._files.last


class RunFiles(EpochRows):
    """Writes metrics.csv, best.ckpt and last.ckpt after each epoch, in this order.

    last.ckpt holds all that later epochs depend on. Wherever a run is killed, what it did since the
    last last.ckpt is done again, and writes the same files again.
    """

    def __init__(self, folder: RunFolder, options: RunOptions) -> None:
        super().__init__(options)
        self.folder = folder

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        super().on_train_epoch_end(trainer, module)
        if trainer.is_global_zero:
            self.folder.write_metrics(self.rows)
        if best_epoch(self.rows) == len(self.rows) - 1:
            trainer.save_checkpoint(self.folder.best)
        trainer.save_checkpoint(self.folder.last)


def _folder_of_now(options: RunOptions) -> Path:
    now = datetime.now().strftime("%Y%m%d-%H%M%S")
    return Path("runs") / f"{options.data.name}-{options.model.backend}-{now}"
