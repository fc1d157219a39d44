"""Pictures show what they are given."""

import numpy as np
import pytest

import sqdr
from sqdr.ansatz import Ansatz
from sqdr.experiment import plots
from sqdr.testing.cases import Case


def texts_of(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def cz_gates_of(figure, n_wires):
    """(place, wires) of the dots that stand on one line."""
    lines = [line.get_xydata() for line in figure.axes[0].lines]
    dots = {tuple(line[0]) for line in lines if len(line) == 1}
    upright = [line for line in lines if len(line) == 2 and line[0, 0] == line[1, 0]]
    ends = [(float(a[0]), tuple(int(y) for x, y in (a, b) if (x, y) in dots)) for a, b in upright]
    return [(place, wires) for place, wires in ends if all(wire < n_wires for wire in wires)]


@pytest.mark.parametrize("entanglement", ["none", "linear", "circular", "pairs"])
def test_the_circuit_has_its_cz_gates_between_blocks(entanglement):
    case = Case(5, 3, entanglement)
    gates = cz_gates_of(plots.circuit(Ansatz.chosen(5, 3, entanglement=case.pairs)), 5)
    assert sorted(wires for _, wires in gates) == sorted(tuple(sorted(pair)) for pair in 2 * case.pairs)
    taken = [(place, wire) for place, ends in gates for wire in range(ends[0], ends[1] + 1)]
    assert len(set(taken)) == len(taken)


def test_the_circuit_has_the_rotations_of_each_block():
    texts = texts_of(plots.circuit(Ansatz.chosen(2, 2, entanglement=[])))
    rotations = sorted(text for text in texts if text.startswith("Rot"))
    weights = [f"Rot$(w_{{{block},{wire}}})$" for block in (1, 2) for wire in (0, 1)]
    assert rotations == sorted([*weights, *2 * ["Rot$(x_{0})$", "Rot$(x_{1})$"]])


def test_the_circuit_has_its_channels():
    noise = sqdr.NoiseModel(
        (sqdr.BitFlip(0.1), sqdr.AmplitudeDamping([0.1, 0.2, 0.3])), (sqdr.PhaseFlip(0.2),), 0.01
    )
    texts = texts_of(plots.circuit(Ansatz.chosen(3, 2, entanglement=[(0, 1)]), noise))
    assert [texts.count(initials) for initials in ("BF", "AD", "PF")] == [2 * 3, 2 * 3, 1 * 3]
    assert texts[-4:] == [
        "BF  BitFlip 0.1 after rotations",
        "AD  AmplitudeDamping [0.1, 0.2, 0.3] after rotations",
        "PF  PhaseFlip 0.2 after entangling layers",
        "readout error 0.01",
    ]


def test_a_member_of_the_family_has_its_own_gates_and_observables():
    ansatz = Ansatz.chosen(
        3,
        2,
        encoding="XY",
        rotation="Z",
        inputs="split",
        scaling=True,
        entangler="ZZ",
        observables=["Y1", "Z1", "X0 Z2"],
    )
    figure = plots.circuit(ansatz, sqdr.NoiseModel((), (sqdr.TwoWireDepolarizing(0.1),)))
    texts = texts_of(figure)
    assert {r"RX·RY$(s_{2,1}\,x_{2,1})$", "RZ$(w_{2,1})$"} < set(texts)
    assert r"$\langle Y_{1}\rangle$ $\langle Z_{1}\rangle$" in texts
    assert texts[-2:] == [
        "Measured together: X0 Z2",
        "TWD  TwoWireDepolarizing 0.1 after entangling layers",
    ]
    assert {line.get_marker() for line in figure.axes[0].lines} == {"None", "s"}


def test_a_channel_on_the_last_wire_is_on_no_other():
    ansatz = Ansatz.chosen(3, 2, entanglement=[(0, 1)])
    texts = texts_of(plots.circuit(ansatz, sqdr.NoiseModel.preset("author-code")))
    assert [texts.count(initials) for initials in ("BF", "D", "AD")] == [2 * 3 + 1, 2 * 3 + 1, 2 * 3]


def test_what_is_not_drawn_of_a_circuit_is_counted():
    figure = plots.circuit(Ansatz.chosen(12, 5))
    texts = texts_of(figure)
    assert {"4 more wires", "2 more\nblocks", "block 3"} < set(texts)
    assert "block 4" not in texts
    # Three layers of the pairs (0, 1) to (6, 7), and (7, 8), which leads out of the picture.
    assert sorted(wires for _, wires in cz_gates_of(figure, 12)) == sorted(
        3 * [*((wire, wire + 1) for wire in range(7)), (7,)]
    )


def test_the_raster_has_a_mark_for_each_spike():
    spikes = np.zeros((4, 2, 3))
    spikes[0, 1, 2] = spikes[3, 1, 0] = 1
    figure = plots.spike_raster(
        np.zeros((2, 1, 8, 8)), {"linear": spikes}, ["cat", "dog"], ["cat", "cat"]
    )
    _, _, of_cat, of_dog = figure.axes
    assert of_cat.collections[0].get_segments() == []
    marks = [segment.mean(0).tolist() for segment in of_dog.collections[0].get_segments()]
    assert marks == [[1, 1], [4, 0]]
    assert of_cat.get_ylabel() == "linear\n2 firing\nof 3 neurons"
    assert [axes.get_xlabel() for axes in figure.axes[:2]] == ["", "→ cat"]


def test_the_raster_of_a_large_layer_shows_evenly_spaced_neurons_of_those_that_fire():
    spikes = np.zeros((2, 2, 200))
    spikes[0, 0, ::2] = spikes[1, 1, 0] = 1
    spikes[1, 1, 198] = 1
    figure = plots.spike_raster(np.zeros((2, 3, 8, 8)), {"linear": spikes}, ["cat", "dog"], ["cat"] * 2)
    _, _, of_cat, of_dog = figure.axes
    assert len(of_cat.collections[0].get_segments()) == 40
    assert [segment.mean(0)[1] for segment in of_dog.collections[0].get_segments()] == [0, 39]
    assert of_cat.get_ylabel() == "linear\n40 of 100 firing\nof 200 neurons"


def test_a_layer_without_spikes_has_no_marks():
    figure = plots.spike_raster(
        np.zeros((1, 1, 8, 8)), {"linear": np.zeros((4, 1, 3))}, ["cat"], ["cat"]
    )
    axes = figure.axes[1]
    assert axes.collections[0].get_segments() == []
    assert axes.get_ylabel() == "linear\n0 firing\nof 3 neurons"


METRICS = {
    f"{stage}_{metric}": 0.5 for stage in ("training", "validation") for metric in ("loss", "accuracy")
}


def test_the_curves_of_one_epoch_have_one_tick():
    loss, accuracy = plots.curves([{"epoch": 0, **METRICS}]).axes
    assert accuracy.get_xticks().tolist() == [1]
    assert loss.get_xlim() == (0.5, 1.5)


def test_the_best_epoch_is_marked():
    rows = [{"epoch": epoch, **METRICS} for epoch in range(4)]
    for axes in plots.curves(rows, best_epoch=2).axes:
        marks = [line for line in axes.lines if line.get_label() == "best epoch, 3"]
        assert [list(line.get_xdata()) for line in marks] == [[3, 3]]


def test_mistakes_say_what_is_what():
    figure = plots.mistakes(np.zeros((5, 1, 8, 8)), [*"34567"], [*"83838"], [0.99, 0.9, 0.8, 0.7, 0.6])
    assert [axes.get_title() for axes in figure.axes] == ["3 → 8", "4 → 3", "5 → 8", "6 → 3", "7 → 8"]
    assert figure.axes[0].get_xlabel() == "99 %"


def test_firing_rates_are_in_percent_and_bars_do_not_go_below_zero():
    axes = plots.firing_rates({"first": (0.25, 0.1), "second": (0.1, 0.2)}).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [25, 10]
    (bars,) = axes.containers[0].lines[2]
    assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [[15, 35], [0, 30]]


def test_angles_are_in_units_of_pi():
    weights = np.array([0, np.pi]), np.array([-np.pi, np.pi])
    data, of_weights = plots.angles(np.pi * np.array([[0, 0.5], [0, 1]]), weights).axes
    bars = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in data.patches]
    assert bars == [pytest.approx(bar) for bar in ((0, 50), (0.5, 25), (1, 25))]
    trained = [bar for bar in of_weights.patches if getattr(bar, "get_height", lambda: 0)()]
    assert [bar.get_height() for bar in trained] == [1, 1]
    assert trained[0].get_x() == pytest.approx(-1)
    assert trained[1].get_x() + trained[1].get_width() == pytest.approx(1)


def test_gradient_norms_have_a_line_for_each_part():
    axes = plots.gradient_norms({"spiking": [1.0, 2.0]}).axes[0]
    assert [line.get_label() for line in axes.lines] == ["spiking"]
    assert axes.lines[0].get_xydata().tolist() == [[1, 1], [2, 2]]
    assert axes.get_yscale() == "log"


RUNS = [
    {"variant": variant, "seed": seed, "accuracy": accuracy}
    for variant, accuracies in {"quantum": (0.8, 0.9, 0.7), "no circuit": (0.7, 0.9, 0.5)}.items()
    for seed, accuracy in enumerate(accuracies)
]


def points_of(axes):
    """Values of the points, and of the means with their bars."""
    points = sorted(x for line in axes.lines if len(line.get_xdata()) > 1 for x in line.get_xdata())
    bars = [container.lines for container in axes.containers]
    return points, [
        (line.get_xdata()[0], np.reshape(bar[0].get_segments()[0], (-1, 2))[:, 0])
        for line, _, bar in bars
    ]


def test_a_comparison_shows_each_seed_its_mean_and_its_interval():
    of_accuracy, of_difference = plots.comparison(RUNS).axes
    points, bars = points_of(of_accuracy)
    assert points == pytest.approx([50, 70, 70, 80, 90, 90])
    assert [mean for mean, _ in bars] == pytest.approx([80, 70])
    quantile = 4.302653  # Student's t of two degrees of freedom, 97.5 %
    assert bars[0][1] == pytest.approx([80 - quantile * 10 / 3**0.5, 80 + quantile * 10 / 3**0.5])
    ((mean, _),) = points_of(of_difference)[1]
    assert mean == pytest.approx(-10)


def test_two_seeds_have_no_interval():
    of_accuracy, _ = plots.comparison([run for run in RUNS if run["seed"] < 2]).axes
    assert all(np.isnan(bar).all() or not len(bar) for _, bar in points_of(of_accuracy)[1])


def test_bars_of_a_sweep_stand_side_by_side():
    rows = [
        {"training_channel": c, "training_strength": s, "test_channel": "BitFlip", "seed": seed}
        | {"test_strength": t, "accuracy": 0.5 + 0.1 * seed}
        for c, s in (("none", 0.0), ("BitFlip", 0.1))
        for t in (0.0, 0.5)
        for seed in range(3)
    ]
    first, second = (container.lines[0] for container in plots.noise_sweep(rows).axes[0].containers)
    assert (np.asarray(first.get_xdata()) < np.asarray(second.get_xdata())).all()
