"""Pictures of a run, as matplotlib figures that touch no global state and need no display."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure


def curves(rows: Sequence[Mapping[str, float]]) -> Figure:
    """Loss and accuracy of training and validation against the epoch.

    Args:
        rows (sequence of mappings): one for each epoch, with "epoch" and "training_loss",
            "validation_loss", "training_accuracy" and "validation_accuracy" (in [0, 1]).
    """
    figure = Figure(figsize=(9, 3.6), dpi=150, layout="constrained")
    loss, accuracy = figure.subplots(1, 2)
    epochs = [row["epoch"] + 1 for row in rows]
    for stage in ("training", "validation"):
        marker = "o" if len(rows) == 1 else None
        loss.plot(epochs, [row[f"{stage}_loss"] for row in rows], label=stage, marker=marker)
        percent = [100 * row[f"{stage}_accuracy"] for row in rows]
        accuracy.plot(epochs, percent, label=stage, marker=marker)
    loss.set(xlabel="epoch", ylabel="cross entropy", ylim=(0, None))
    accuracy.set(xlabel="epoch", ylabel="accuracy (%)", ylim=(0, 102))
    for axes in (loss, accuracy):
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    accuracy.legend(loc="lower right")
    return figure


def confusion_matrix(counts: Sequence[Sequence[int]], class_names: Sequence[str]) -> Figure:
    """Number of test images by true class (rows) and predicted class (columns).

    Args:
        counts (array of shape (n_classes, n_classes)): counts[true][predicted].
        class_names (sequence of n_classes str): labels of the axes.
    """
    matrix = np.asarray(counts)
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    figure = Figure(figsize=(6, 5.2), dpi=150, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    long_names = max(map(len, class_names)) > 2
    places = range(len(class_names))
    axes.set_xticks(places, class_names, rotation=45 if long_names else 0)
    axes.set_yticks(places, class_names)
    for (true, predicted), count in np.ndenumerate(matrix):
        if count:
            colour = "white" if shares[true, predicted] > 0.5 else "black"
            axes.text(predicted, true, str(count), ha="center", va="center", color=colour)
    accuracy = np.trace(matrix) / max(matrix.sum(), 1)
    axes.set(xlabel="predicted class", ylabel="true class", title=f"accuracy {100 * accuracy:.1f} %")
    figure.colorbar(image, label="share of the true class")
    return figure
