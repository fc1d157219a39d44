"""Pictures of a run, as matplotlib figures that touch no global state and need no display."""

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from sqdr.ansatz import Ansatz, shown_word
from sqdr.experiment.intervals import MIN_FOR_INTERVAL, mean_and_interval
from sqdr.noise import PLACES, NoiseModel, NoiseProcess, OnLastWire

#: What a picture shows of a layer's neurons, of a circuit's wires and of its blocks.
MAX_NEURONS = 40
MAX_WIRES = 8
MAX_BLOCKS = 3


def curves(rows: Sequence[Mapping[str, float]], best_epoch: int | None = None) -> Figure:
    """Loss and accuracy of training and validation against the epoch.

    Args:
        rows (sequence of mappings): one for each epoch, with "epoch" and "training_loss",
            "validation_loss", "training_accuracy" and "validation_accuracy" (in [0, 1]).
        best_epoch (int or None): the epoch, from 0, that is marked. Default: None, no mark.
    """
    figure = Figure(figsize=(6, 5.2), dpi=150, layout="constrained")
    loss, accuracy = figure.subplots(2, 1, sharex=True)
    epochs = [row["epoch"] + 1 for row in rows]
    for stage in ("training", "validation"):
        marker = "o" if len(rows) == 1 else None
        loss.plot(epochs, [row[f"{stage}_loss"] for row in rows], label=stage, marker=marker)
        percent = [100 * row[f"{stage}_accuracy"] for row in rows]
        accuracy.plot(epochs, percent, label=stage, marker=marker)
    loss.set(ylabel="loss", ylim=(0, None))
    accuracy.set(xlabel="epoch", ylabel="accuracy (%)", ylim=(0, 102))
    _count_epochs(accuracy, len(rows))
    for axes in (loss, accuracy):
        axes.grid(alpha=0.3)
        if best_epoch is not None:
            label = f"best epoch, {best_epoch + 1}"
            axes.axvline(best_epoch + 1, color="0.3", linestyle=":", label=label)
    figure.legend(*loss.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _count_epochs(axes: Axes, n_epochs: int) -> None:
    """Whole numbers, from 1, along the axis of the epochs, which has room for a single one."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if n_epochs == 1:
        axes.set(xlim=(0.5, 1.5), xticks=[1])


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

    Each panel has one line for each training noise: none, and the panel's own channel. Bars, side by
    side, are 95 % confidence intervals of the mean, from three seeds on, by Student's t distribution.

    Args:
        rows (sequence of mappings): one for each test, with "training_channel" ("none" for training
            without noise), "training_strength", "test_channel", "test_strength", "seed" and
            "accuracy" (in [0, 1], NaN for a training that has diverged, which is left out).
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
            places, *of_places = line  # side by side, so that no bar hides another
            aside = (style - (len(strengths) - 1) / 2) * 0.01 * max(places, default=0)
            shifted = [place + aside for place in places]
            axes.errorbar(
                shifted, *of_places, label=label, marker=marker, markersize=4, linewidth=1.2, capsize=2
            )
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
    rows = [row for row in rows if not math.isnan(row["accuracy"])]
    intervals = [
        _mean_and_bar([100 * row["accuracy"] for row in rows if row["test_strength"] == strength])
        for strength in strengths
    ]
    return strengths, [mean for mean, _ in intervals], [half_width for _, half_width in intervals]


def _mean_and_bar(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half width of its 95 % interval, NaN where there are too few values to show one."""
    mean, half_width = mean_and_interval(values)
    return mean, half_width if len(values) >= MIN_FOR_INTERVAL else math.nan


def comparison(runs: Sequence[Mapping[str, Any]]) -> Figure:
    """Test accuracy of each variant, and its difference to that of the quantum one with the same seed.

    A point is a training; a diamond is the mean of a variant, and its bar, from three seeds on, a 95 %
    confidence interval by Student's t distribution.

    Args:
        runs (sequence of mappings): with "variant", "seed" and "accuracy" (in [0, 1], NaN for one that
            has diverged, which is left out), among them the variant "quantum".
    """
    variants = list(dict.fromkeys(run["variant"] for run in runs))
    by_cell = {(run["variant"], run["seed"]): 100 * run["accuracy"] for run in runs}
    figure = Figure(figsize=(9, 1.2 + 0.55 * len(variants)), dpi=150, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for place, variant in enumerate(variants):
        of_variant = {seed: value for (name, seed), value in by_cell.items() if name == variant}
        differences = [value - by_cell["quantum", seed] for seed, value in of_variant.items()]
        for axes, values in zip(panels, (list(of_variant.values()), differences), strict=True):
            finite = [value for value in values if math.isfinite(value)]
            if not finite or (axes is panels[1] and variant == "quantum"):
                continue
            mean, half_width = _mean_and_bar(finite)
            places = [place - 0.18] * len(finite)
            axes.plot(finite, places, "o", color="C0", alpha=0.6, markersize=4)
            axes.errorbar(
                mean, place + 0.12, xerr=half_width, fmt="D", color="black", markersize=4, capsize=3
            )
    panels[0].set(xlabel="test accuracy (%)", ylim=(len(variants) - 0.5, -0.5))
    panels[0].set_yticks(range(len(variants)), variants)
    panels[1].set(xlabel="difference to quantum (points)")
    panels[1].axvline(0, color="0.3", linewidth=1)
    for axes in panels:
        axes.grid(axis="x", alpha=0.3)
    return figure


def gradient_norms(norms: Mapping[str, Sequence[float]]) -> Figure:
    """Norm of the gradient of each part of the model against the epoch.

    Args:
        norms (mapping of str to sequence of float): one for each epoch, by the name of the part.
    """
    figure = Figure(figsize=(6, 3.6), dpi=150, layout="constrained")
    axes = figure.subplots()
    for (part, values), colour, style in zip(norms.items(), _COLOURS, ("-", "--", "-."), strict=False):
        marker = "o" if len(values) == 1 else None
        epochs = range(1, len(values) + 1)
        axes.plot(epochs, values, style, color=colour, label=part, marker=marker)
        _count_epochs(axes, len(values))
    axes.set(xlabel="epoch", ylabel="norm of the gradient", yscale="log")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=len(norms))
    return figure


#: Blue, orange and a dark grey, which stay apart for every kind of colour vision.
_COLOURS = ("C0", "C1", "0.3")


def spike_raster(
    images: np.ndarray,
    spikes: Mapping[str, np.ndarray],
    true: Sequence[str],
    predicted: Sequence[str],
) -> Figure:
    """Some images, and the spikes of each layer for each of them.

    Neurons are shown that fire for any of these images, at most `MAX_NEURONS` of a layer, evenly
    spaced among them.

    Args:
        images (array of shape (n_images, channels, height, width)): in [0, 1], grey or RGB.
        spikes (mapping of str to array of shape (T, n_images, n_neurons)): by the name of the layer,
            from input to output.
        true, predicted (sequences of n_images str): classes, written above an image and, where they
            are wrong, below it.
    """
    figsize = 1.8 + 1.1 * len(images), 1.8 + 1.5 * len(spikes)
    figure = Figure(figsize=figsize, dpi=150, layout="constrained")
    ratios = [0.75, *[1.0] * len(spikes)]
    panels = figure.subplots(
        len(ratios), len(images), sharex="row", squeeze=False, height_ratios=ratios
    )
    for axes, image, name, prediction in zip(panels[0], images, true, predicted, strict=True):
        _show_image(axes, image, name, "" if prediction == name else f"→ {prediction}")
    for row, (name, of_layer) in zip(panels[1:], spikes.items(), strict=True):
        n_steps, _, n_neurons = of_layer.shape
        firing = np.flatnonzero(of_layer.any((0, 1)))
        places = np.linspace(0, len(firing) - 1, min(len(firing), MAX_NEURONS)).round().astype(int)
        shown = firing[places]
        for axes, of_image in zip(row, np.moveaxis(of_layer, 1, 0), strict=True):
            steps, neurons = np.nonzero(of_image[:, shown])
            axes.vlines(steps + 1, neurons - 0.4, neurons + 0.4, colors="black", linewidth=2)
            axes.set(xlim=(0.5, n_steps + 0.5), ylim=(max(len(shown), 1) - 0.5, -0.5), yticks=[])
            axes.set(xticks=sorted({1, n_steps}))
            axes.tick_params(labelbottom=False)
        which = f"{len(shown)} of {len(firing):,}" if len(firing) > len(shown) else f"{len(firing)}"
        row[0].set_ylabel(f"{name}\n{which} firing\nof {n_neurons:,} neurons")
    for axes in panels[-1]:
        axes.tick_params(labelbottom=True)
    figure.supxlabel("time step", fontsize="medium")
    return figure


def mistakes(
    images: np.ndarray, true: Sequence[str], predicted: Sequence[str], probabilities: Sequence[float]
) -> Figure:
    """Misclassified images, with their true and predicted classes.

    Args:
        images (array of shape (n_images, channels, height, width)): in [0, 1], grey or RGB.
        true, predicted (sequences of n_images str): classes.
        probabilities (sequence of n_images float): of the predicted classes.
    """
    n_columns = 4
    n_rows = math.ceil(len(images) / n_columns)
    figure = Figure(figsize=(6, 0.4 + 1.7 * n_rows), dpi=150, layout="constrained")
    panels = figure.subplots(n_rows, n_columns, squeeze=False).flat
    for image, right, wrong, probability in zip(images, true, predicted, probabilities, strict=True):
        axes = next(panels)
        title = f"{right}\n→ {wrong}" if len(right + wrong) > 10 else f"{right} → {wrong}"
        _show_image(axes, image, title, f"{100 * probability:.0f} %")
    for axes in panels:
        axes.remove()
    return figure


def _show_image(axes: Axes, image: np.ndarray, above: str, below: str) -> None:
    """An image (channels, height, width), grey or RGB, with texts above and below it."""
    pixels = image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1)
    axes.set(title=above, xticks=[], yticks=[], xlabel=below)


def firing_rates(rates: Mapping[str, tuple[float, float]]) -> Figure:
    """Mean firing rate of each layer, with its standard deviation over images.

    Args:
        rates (mapping of str to (mean, standard deviation)): spikes for each neuron and time step, by
            the name of the layer, from input to output.
    """
    figure = Figure(figsize=(6, 3.6), dpi=150, layout="constrained")
    axes = figure.subplots()
    means, deviations = (100 * np.array(numbers) for numbers in zip(*rates.values(), strict=True))
    below = np.minimum(means, deviations)  # there is no rate below zero
    bars = axes.bar(list(rates), means, yerr=(below, deviations), width=0.6, color="C0", capsize=4)
    for bar, mean in zip(bars, means, strict=True):
        axes.text(
            bar.get_x(),
            mean,
            f"{mean:.1f}",
            ha="left",
            va="bottom",
        )
    axes.set(ylabel="spikes per neuron\nand time step (%)", ylim=(0, None))
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    return figure


def angles(data: np.ndarray, weights: tuple[np.ndarray, np.ndarray] | None = None) -> Figure:
    """Histograms of the angles of the data, and of the weights before and after training.

    Args:
        data (array): angles that the circuit reads, in radians, with few distinct values.
        weights (pair of arrays or None): initial and trained weights of a circuit, in radians, drawn in
            a second panel; None leaves it out.
    """
    n_panels = 1 if weights is None else 2
    figure = Figure(figsize=(6, 2.8 * n_panels), dpi=150, layout="constrained")
    panels = figure.subplots(n_panels, squeeze=False)[:, 0]
    values, counts = np.unique(np.round(data / math.pi, 6), return_counts=True)
    width = 0.8 * np.diff(values).min(initial=0.25)
    panels[0].bar(values, 100 * counts / data.size, width, color="C0")
    panels[0].set(xlabel="angle of the data (π rad)", ylabel="share of the angles (%)")
    if weights is not None:
        initial, trained = (of_time.ravel() / math.pi for of_time in weights)
        edges = np.histogram_bin_edges(np.concatenate((initial, trained)), bins=16)
        panels[1].hist(trained, edges, color="C0", label="trained")
        panels[1].hist(initial, edges, histtype="step", color="black", linewidth=1.5, label="initial")
        panels[1].set(xlabel="weight of the circuit (π rad)", ylabel="number of weights")
        panels[1].yaxis.get_major_locator().set_params(integer=True)
        panels[1].legend()
    for axes in panels:
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
    return figure


def circuit(ansatz: Ansatz, noise: NoiseModel | None = None) -> Figure:
    """The gates of a re-uploading circuit and its noise channels, from left to right.

    At most `MAX_WIRES` wires and `MAX_BLOCKS` blocks are drawn; a note says how many there are more.

    Args:
        ansatz (Ansatz): the member of the family.
        noise (NoiseModel or None): its noise. Default: None.
    """
    noise = noise or NoiseModel()
    n_wires, n_blocks = ansatz.n_wires, ansatz.n_blocks
    n_shown = min(n_wires, MAX_WIRES)
    figure = Figure(dpi=150)
    axes = figure.add_axes((0, 0, 1, 1))
    x = 0.2
    for block in range(min(n_blocks, MAX_BLOCKS)):
        start = x
        for labels, colour in _rotations(ansatz, block, n_shown):
            x = _gates(axes, x, labels, colour, width=max(1.25, 0.11 * len(labels[0]) - 0.35))
        x = _channels(axes, x, n_wires, noise.after_rotation)
        axes.text((start + x) / 2, -0.8, f"block {block + 1}", ha="center", va="center")
        if block + 1 < n_blocks:
            x = _entangler(axes, x, n_shown, ansatz)
            x = _channels(axes, x, n_wires, noise.after_entangler)
    n_more = n_blocks - MAX_BLOCKS
    if n_more > 0:
        text = f"{n_more} more\nblock{'s' * (n_more > 1)}"
        middle = (n_shown - 1) / 2
        axes.text(x + 0.7, middle, text, ha="center", va="center", backgroundcolor="white")
        x += 1.4
    end = _gates(axes, x, _measured(ansatz)[:n_shown], "white", width=0.9)
    for wire in range(n_shown):
        axes.plot((0, x + 0.2), (wire, wire), color="black", linewidth=1, zorder=0)
        axes.text(-0.1, wire, r"$|0\rangle$", ha="right", va="center")
    notes = _notes_on_words(ansatz) + _notes_on_noise(noise)
    if n_wires > n_shown:
        notes.insert(0, f"{n_wires - n_shown} more wire{'s' * (n_wires > n_shown + 1)}")
    for line, note in enumerate(notes):
        axes.text(0.2, n_shown - 0.1 + 0.45 * line, note, va="center")
    bottom = n_shown - 0.3 + 0.45 * len(notes)
    end = max(end, *(0.13 * len(note) for note in notes), 0.0)
    axes.set(xlim=(-0.7, end), ylim=(bottom, -1.2))
    axes.set_axis_off()
    figure.set_size_inches(0.62 * (end + 0.7), 0.5 * (bottom + 1.2))
    return figure


#: Fill of the gates with the data's angles and of those with trained angles, and of channels.
_OF_DATA, _OF_WEIGHTS, _OF_CHANNELS = "#cfe2f3", "#fde3c8", "0.85"


def _rotations(ansatz: Ansatz, block: int, n_shown: int) -> Iterator[tuple[list[str], str]]:
    """Labels and fill of the two gates of a block on each wire."""
    of_block = f"{block + 1}," if ansatz.inputs == "split" else ""
    factor = rf"s_{{{block + 1},%d}}\," if ansatz.scaling else ""
    words = (ansatz.encoding, f"{factor}x_{{{of_block}%d}}"), (ansatz.rotation, f"w_{{{block + 1},%d}}")
    for (axes, angle), colour in zip(words, (_OF_DATA, _OF_WEIGHTS), strict=True):
        name = gate_name(axes)
        labels = [f"{name}$({angle.replace('%d', str(wire))})$" for wire in range(n_shown)]
        yield labels, colour


def gate_name(axes: str) -> str:
    """Of the rotations about the axes of a word: "Rot", "RX" or, for several, "RX·RY"."""
    return "Rot" if axes == "ZYZ" else "·".join(f"R{axis}" for axis in axes)


def _measured(ansatz: Ansatz) -> list[str]:
    """What is measured on each wire for itself; nothing for words of several wires."""
    labels = [""] * ansatz.n_wires
    for word in ansatz.observables:
        (wire, letter), *others = word
        if not others:
            label = rf"$\langle {letter}_{{{wire}}}\rangle$"
            labels[wire] = f"{labels[wire]} {label}" if labels[wire] else label
    return labels


def _notes_on_words(ansatz: Ansatz) -> list[str]:
    """The observables of several wires."""
    words = [shown_word(word) for word in ansatz.observables if len(word) > 1]
    return [textwrap.shorten(f"Measured together: {', '.join(words)}", 100)] if words else []


def _gates(axes: Axes, x: float, labels: Sequence[str], colour: str, width: float = 1.25) -> float:
    """Draw a gate from the place x on on each wire that has a label; returns where it ends."""
    for wire, label in enumerate(labels):
        if label:
            corner = x + 0.06, wire - 0.35
            axes.add_patch(Rectangle(corner, width - 0.12, 0.7, facecolor=colour, edgecolor="black"))
            axes.text(x + width / 2, wire, label, ha="center", va="center")
    return x + width


def _channels(axes: Axes, x: float, n_wires: int, channels: Sequence[NoiseProcess]) -> float:
    """Draw the channels from the place x on on the wires shown; returns where they end."""
    for channel in channels:
        labels = [_initials(channel)] * n_wires
        if isinstance(channel.strength, OnLastWire):
            labels[:-1] = [""] * (n_wires - 1)
        x = _gates(axes, x, labels[:MAX_WIRES], _OF_CHANNELS, width=0.2 + 0.2 * max(2, len(labels[-1])))
    return x


def _entangler(axes: Axes, x: float, n_shown: int, ansatz: Ansatz) -> float:
    """Draw a layer of entanglers from the place x on, CZ with dots, ZZ with squares; where it ends."""
    marker = "o" if ansatz.entangler == "CZ" else "s"
    columns: list[list[range]] = []
    for pair in ansatz.pairs:
        wires = range(min(pair), max(pair) + 1)
        if wires[0] < n_shown:
            free = (
                column for column in columns if not any(set(wires) & set(other) for other in column)
            )
            column = next(free, None)
            if column is None:
                columns.append([wires])
            else:
                column.append(wires)
    for column in columns:
        x += 0.35
        for wires in column:
            is_whole = wires[-1] < n_shown
            bottom = wires[-1] if is_whole else n_shown - 0.45
            axes.plot((x, x), (wires[0], bottom), color="black", linewidth=1.2)
            axes.plot(x, wires[0], marker, color="black", markersize=5)
            if is_whole:
                axes.plot(x, bottom, marker, color="black", markersize=5)
    return x + 0.35


def _initials(channel: NoiseProcess) -> str:
    """BF for a BitFlip."""
    return "".join(filter(str.isupper, type(channel).__name__))


def _notes_on_noise(noise: NoiseModel) -> list[str]:
    """What the initials stand for, one line for each channel, and the readout error."""
    notes = [
        f"{_initials(channel)}  {textwrap.shorten(channel.in_words(), 80)} after {where}"
        for place, where in PLACES.items()
        for channel in getattr(noise, place)
    ]
    readout = NoiseModel(readout_error=noise.readout_error)
    return [*notes, textwrap.shorten(readout.in_words(), 80)] if readout else notes
