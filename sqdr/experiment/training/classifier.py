"""The classifier in training: its loss, its metrics, its optimizer and its random generators."""

from __future__ import annotations

from random import Random
from typing import Any, cast

import lightning
import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from sqdr.experiment.option_names import as_configuration
from sqdr.experiment.options import RunOptions, new_optimizer
from sqdr.experiment.training.monitoring import PARTS
from sqdr.model import SQDR_CNN

#: What the metrics are of.
STAGES = ("training", "validation", "test")


class Classifier(lightning.LightningModule):
    """Cross-entropy training of a classifier with a one-cycle learning rate.

    Its checkpoints hold the states of all random generators, so that what follows one is drawn as if
    the process had gone on.
    """

    def __init__(self, model: SQDR_CNN, num_class: int, options: RunOptions) -> None:
        super().__init__()
        self.model = model
        self.options = options
        self.loss = nn.CrossEntropyLoss(label_smoothing=options.label_smoothing)
        # One process tests alone.
        shared: dict[str, Any] = {s: {"sync_on_compute": s != "test"} for s in STAGES}
        self.losses = nn.ModuleDict({f"of_{stage}": Mean(**shared[stage]) for stage in STAGES})
        self.accuracies = nn.ModuleDict(
            {
                f"of_{stage}": MulticlassAccuracy(num_class, average="micro", **shared[stage])
                for stage in STAGES
            }
        )
        self.norms = nn.ModuleDict({part: Mean() for part in PARTS})
        self.cross_entropy = Mean(**shared["test"])  # the loss without label smoothing
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
        logits, labels = self._evaluate("test", batch)[1], batch[1]
        self.confusion.update(logits, labels)
        plain = nn.functional.cross_entropy(logits.double(), labels)
        self.cross_entropy.update(plain, len(labels))
        self.log("test_cross_entropy", self.cross_entropy, on_step=False, on_epoch=True)

    def on_train_batch_end(self, *_: Any) -> None:
        self.clamp_strengths()

    def clamp_strengths(self) -> None:
        """Keep trained strengths of noise probabilities."""
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
        optimizer = new_optimizer(options, [{"params": others}, {"params": head}])
        # Lightning's own count starts on the batches, which would draw random numbers too early.
        n_steps = options.epochs * len(cast(Any, self.trainer).datamodule.train_dataloader())
        cycles = "betas" in optimizer.defaults and "betas" not in options.optimizer_options
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, rates, total_steps=n_steps, cycle_momentum=cycles
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        states = {"torch": torch.get_rng_state()}
        if self.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.device)
        states |= {name: each.get_state() for name, each in self.generators.items()}
        checkpoint["random_states"] = states
        checkpoint["options"] = as_configuration(self.options)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        states = checkpoint["random_states"]
        for name, generator in self.generators.items():
            generator.set_state(states[name])
        self._random_state = states["torch"]
        self._cuda_random_state = states.get("cuda")

    def on_fit_start(self) -> None:
        # Not when the checkpoint is loaded, since Lightning may draw before the first batch, and seeds
        # torch again where there are several processes.
        torch.set_rng_state(self._random_state)
        if self._cuda_random_state is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(self._cuda_random_state, self.device)

    def on_train_epoch_start(self) -> None:
        trainer = self.trainer
        if trainer.current_epoch == 0:
            self._seed_generators()
        if trainer.world_size > 1:
            # Each process draws for its own images. A seed for each epoch needs no checkpoint.
            of_process = self.options.seed, trainer.current_epoch, trainer.global_rank
            for generator in self.generators.values():
                generator.manual_seed(Random(str(of_process)).getrandbits(63))

    def _seed_generators(self) -> None:
        """Let what is drawn follow the run's seed alone; in a forked process a circuit has its own."""
        state = torch.get_rng_state()
        seed = int(torch.randint(2**63 - 1, (), device="cpu"))  # what the circuit draws as well
        torch.set_rng_state(state)
        for generator in self.generators.values():
            generator.manual_seed(seed)

    @property
    def generators(self) -> dict[str, torch.Generator]:
        """Where spikes, noise and shots are drawn from, by the part of the model that draws."""
        parts = {"circuit": self.model.quantum, "spiking": self.model.spiking}
        found = {name: getattr(part, "generator", None) for name, part in parts.items()}
        return {name: each for name, each in found.items() if isinstance(each, torch.Generator)}

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


class Mean(Metric):
    """Mean over all processes; torchmetrics' `MeanMetric` leaves out NaN, or weights."""

    total: Tensor
    number: Tensor

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("number", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, value: Tensor, number: int) -> None:
        self.total = self.total + value * number
        self.number = self.number + number

    def compute(self) -> Tensor:
        return self.total / self.number
