"""Pictures of a run, as matplotlib figures that touch no global state and need no display."""

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sqdr.statistics import mean_and_interval


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


def search_history(values: Sequence[float], objective: str, maximize: bool = False) -> Figure:
    """The value of each trial of a search, in order, and the best so far.

    Args:
        values (sequence of float): one for each trial; infinite ones are left out.
        objective (str): what the values are.
        maximize (bool): whether higher values are better. Default: False.
    """
    figure = Figure(figsize=(6, 3.6), dpi=150, layout="constrained")
    axes = figure.subplots()
    trials = range(1, len(values) + 1)
    best = accumulate(values, max if maximize else min)
    axes.plot(trials, values, "o", markersize=4, label="trial")
    axes.step(trials, list(best), where="post", label="best so far")
    axes.set(xlabel="finished trials", ylabel=objective.replace("_", " "))
    axes.locator_params(axis="x", integer=True)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def noise_sweep(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Test accuracy against the strength of the noise, one panel for each channel of the tests.

    Each panel has one line for each training noise: none, and the panel's own channel. Bars are 95 %
    confidence intervals of the mean over seeds, by Student's t distribution.

    Args:
        rows (sequence of mappings): one for each test, with "training_channel" ("none" for training
            without noise), "training_strength", "test_channel", "test_strength", "seed" and
            "accuracy" (in [0, 1]).
    """
    channels = list(dict.fromkeys(row["test_channel"] for row in rows))
    n_columns = min(len(channels), 3)
    n_rows = math.ceil(len(channels) / n_columns)
    figure = Figure(figsize=(1 + 2.5 * n_columns, 1 + 2.2 * n_rows), dpi=200, layout="constrained")
    panels = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    strengths = sorted({row["training_strength"] for row in rows})
    for axes, channel in zip(panels.flat, channels, strict=False):
        for style, strength in enumerate(strengths):
            line = _accuracy_line(
                [
                    row
                    for row in rows
                    if row["training_channel"] in ("none", channel)
                    and (row["training_strength"], row["test_channel"]) == (strength, channel)
                ]
            )
            label = f"trained with strength {strength:g}" if strength else "trained without noise"
            marker = "osD^v"[style % 5]
            axes.errorbar(*line, label=label, marker=marker, markersize=4, linewidth=1.2, capsize=2)
        axes.set(title=channel, ylim=(0, 103))
        axes.grid(alpha=0.3)
    for axes in panels.flat[len(channels) :]:
        axes.remove()
    for axes in panels.flat[: len(channels)][-n_columns:]:
        axes.tick_params(labelbottom=True)
    figure.supxlabel("strength of the channel in the test (probability)", fontsize="medium")
    figure.supylabel("test accuracy (%)", fontsize="medium")
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=n_columns
    )
    return figure


def _accuracy_line(
    rows: Sequence[Mapping[str, Any]],
) -> tuple[list[float], list[float], list[float]]:
    """Test strengths, mean accuracies in %, and half widths of their 95 % confidence intervals."""
    strengths = sorted({row["test_strength"] for row in rows})
    intervals = [
        mean_and_interval([100 * row["accuracy"] for row in rows if row["test_strength"] == strength])
        for strength in strengths
    ]
    return strengths, [mean for mean, _ in intervals], [half_width for _, half_width in intervals]
