"""How good predictions are: what every command that tests a model reports, in one place."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import cross_entropy


class Scores(NamedTuple):
    """How good logits are.

    Attributes:
        accuracy (float): share of the images whose class has the highest logit, in [0, 1].
        cross_entropy (float): mean over the images in nats, without label smoothing.
        confusion (Tensor of shape (n_classes, n_classes)): images by true and predicted class.
    """

    accuracy: float
    cross_entropy: float
    confusion: Tensor


def scores_of(logits: Tensor, labels: Tensor) -> Scores:
    """The scores of logits (n_images, n_classes) for labels (n_images,)."""
    n_classes = logits.shape[1]
    pairs = n_classes * labels + logits.argmax(1)
    confusion = pairs.bincount(minlength=n_classes**2).reshape(n_classes, n_classes)
    accuracy = confusion.trace().item() / len(labels)
    return Scores(accuracy, cross_entropy(logits.double(), labels).item(), confusion)
