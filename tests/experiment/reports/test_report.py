"""Reports on runs, by the command line as a user asks for them."""

import base64
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from commands import assert_refused, read_rows
from matplotlib.image import imread
from sklearn.metrics import log_loss, precision_score, recall_score
from test_data import write_mnist
from torch import nn

import sqdr
from sqdr.experiment.cli import main
from sqdr.experiment.options import DataOptions, ModelOptions, RunOptions
from sqdr.experiment.reports import pictures
from sqdr.experiment.reports.energy import Operations, count_operations
from sqdr.experiment.reports.measurement import measure_on_test_images
from sqdr.experiment.training.finished import read_run
from sqdr.experiment.training.preparation import prepare
from sqdr.files import write_rows
from sqdr.spiking import Convolution, IntegrateAndFire, phase_code

#: Two classes, a small model, two epochs of one step each.
OPTIONS = RunOptions(
    DataOptions(classes=[0, 1], image_size=8, batch_size=1000, augmentation="none"),
    ModelOptions(T=2, width=1, n_wires=2),
    epochs=2,
    seed=3,
)
SMALL = [
    "train",
    *("--data.classes", "[0, 1]", "--data.image_size", "8"),
    *("--data.batch_size", "1000", "--data.augmentation", "none"),
    *("--model.T", "2", "--model.width", "1", "--model.n_wires", "2"),
    *("--epochs", "2", "--seed", "3"),
]
PICTURES = {
    "curves",
    "confusion",
    "spikes",
    "firing_rates",
    "circuit",
    "angles",
    "gradient_norms",
    "mistakes",
}


class Page(HTMLParser):
    """The cells of the tables by the first one of their row, elements, and all that is referred to."""

    def __init__(self, html):
        super().__init__()
        self.open, self.elements, self.references, self.rows = [], set(), [], {}
        self._row = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)
        if tag == "tr":
            self._row = []
        if tag in ("td", "th"):
            self._row.append("")
        self.references += [
            value
            for name, value in attrs
            if name not in ("alt", "class", "lang", "charset", "name", "content")
        ]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "tr":
            self.rows[self._row[0]] = self._row[1:]

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self._row[-1] += data


def names_of(folder):
    return {file.stem for file in folder.glob("*.png")}


def read_page(run):
    return Page((run / "report" / "report.html").read_text())


def report_of(folder, *options):
    """A new run with a report on it."""
    assert main([*SMALL, *options, "--run", str(folder)]) == 0
    assert main(["report", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return report_of(tmp_path_factory.mktemp("runs") / "small")


@pytest.fixture
def copy(run, tmp_path):
    """A run that a test may change, without a report."""
    ignored = shutil.ignore_patterns("report")
    return shutil.copytree(run, tmp_path / "copy", ignore=ignored)


@pytest.fixture(scope="module")
def model(run):
    """The trained model, restored without the report's code."""
    model = sqdr.SQDR_CNN(2, 1, 2, n_wires=2, head="linear", angle_scale=torch.pi)
    state = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    model.load_state_dict({name.removeprefix("model."): state[name] for name in state})
    return model.eval()


@pytest.fixture(scope="module")
def test_images():
    return prepare(OPTIONS)[0].test


def test_the_report_is_complete(run):
    files = {file.name for file in (run / "report").iterdir()}
    assert files == {"report.html", *(f"{name}.png" for name in PICTURES)}


@pytest.mark.parametrize("name", sorted(PICTURES))
def test_pictures_show_something(name, run):
    pixels = imread(run / "report" / f"{name}.png")
    assert min(pixels.shape[:2]) > 150
    assert pixels[..., :3].std() > 0.05


def test_the_page_refers_to_nothing_outside_itself(run):
    page = read_page(run)
    prefix = "data:image/png;base64,"
    embedded = {base64.b64decode(reference.removeprefix(prefix)) for reference in page.references}
    assert embedded == {file.read_bytes() for file in (run / "report").glob("*.png")}
    assert not page.elements & {"script", "link", "iframe", "object"}
    assert "url(" not in (run / "report" / "report.html").read_text()


def test_the_accuracy_is_that_of_the_model(run, model, test_images):
    hits = model(test_images.images).argmax(1) == test_images.labels
    expected = f"{100 * float(hits.double().mean()):.2f} % of 72 images"
    assert read_page(run).rows["test accuracy"] == [expected]


def test_the_cross_entropy_is_that_of_the_model(run, model, test_images):
    loss = log_loss(test_images.labels, model(test_images.images).double().softmax(1).detach())
    assert read_page(run).rows["test cross entropy"] == [f"{loss:.4f}"]


@pytest.mark.parametrize(
    "options",
    [["--model.noise.preset", "author-code"], ["--trainer.precision", "64-true"]],
)
def test_the_accuracy_is_that_of_the_test(options, tmp_path):
    steps = ["--data.batch_size", "64", "--learning_rate", "0.1"]  # until noise matters
    folder = report_of(tmp_path, *options, *steps)
    (tested,) = read_rows(folder / "test.csv")
    accuracy = measure_on_test_images(read_run(folder)).scores.accuracy
    assert accuracy == pytest.approx(float(tested["test_accuracy"]))
    assert read_page(folder).rows["test accuracy"] == [f"{100 * accuracy:.2f} % of 72 images"]


def test_the_table_of_classes(run, model, test_images):
    predictions = model(test_images.images).argmax(1)
    recalls, precisions = (
        score(test_images.labels, predictions, average=None, zero_division=np.nan)
        for score in (recall_score, precision_score)
    )
    assert (predictions != test_images.labels).any()
    rows = read_page(run).rows
    for label, name in enumerate("01"):
        n_images = int((test_images.labels == label).sum())
        n_wrong = int((predictions[test_images.labels == label] != label).sum())
        other = f"{1 - label} ({n_wrong})" if n_wrong else "–"
        precision = "–" if np.isnan(precisions[label]) else f"{100 * precisions[label]:.1f}"
        assert rows[name] == [str(n_images), f"{100 * recalls[label]:.1f}", precision, other]


def test_mistakes_are_the_wrong_ones_with_the_highest_probability_first(run, model, test_images):
    mistakes = measure_on_test_images(read_run(run)).mistakes
    probabilities, predictions = model(test_images.images).softmax(1).max(1)
    wrong = predictions != test_images.labels
    expected = sorted(probabilities[wrong].tolist(), reverse=True)
    assert mistakes.probabilities.tolist() == pytest.approx(expected)
    of_first = (test_images.images == mistakes.images[0]).flatten(1).all(1)
    assert wrong[of_first].all()


@pytest.fixture
def run_on_moved_images(tmp_path, monkeypatch):
    """A run that may have downloaded, whose images are in `moved` since, and a list of downloads."""
    from torchvision.datasets import MNIST

    write_mnist(tmp_path / "there" / "MNIST" / "raw")
    options = [
        "--data.name",
        "mnist",
        "--data.root",
        str(tmp_path / "there"),
        "--data.download",
        "true",
    ]
    options += ["--data.validation_fraction", "0.25", "--data.classes", "[]"]
    assert main([*SMALL, *options, "--epochs", "1", "--run", str(tmp_path / "run")]) == 0
    (tmp_path / "there").rename(tmp_path / "moved")
    downloads = []
    monkeypatch.setattr(MNIST, "download", lambda images: downloads.append(images.root))
    return tmp_path / "run", downloads


def test_where_the_images_are(run_on_moved_images, tmp_path):
    run, downloads = run_on_moved_images
    assert main(["report", str(run), "--data.root", str(tmp_path / "moved")]) == 0
    assert read_page(run).rows["test accuracy"][0].endswith("% of 20 images")
    assert not downloads


def test_only_what_is_asked_for_is_downloaded(run_on_moved_images, tmp_path, capfd):
    run, downloads = run_on_moved_images
    capfd.readouterr()
    assert_refused(["report", str(run)], "Data set mnist is not in", capfd)
    assert not downloads
    assert main(["report", str(run), "--data.download", "true"]) == 2  # since nothing was downloaded
    assert downloads == [tmp_path / "there"]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        # 3 x 3 kernels between 1, 2, 4 and 8 channels, two numbers for each channel, 8 x 6 + 6.
        ("spiking", 9 * (2 + 8 + 32) + 2 * (2 + 4 + 8) + 54),
        ("quantum", 2 * 2 * 3),
        ("classical", 2 * 2 + 2),
        ("all parts", 478),
    ],
)
def test_parameters_by_part(part, expected, run):
    assert read_page(run).rows[part] == [str(expected)]


def test_gates(tmp_path):
    options = ["--model.n_wires", "4", "--model.qdr_block", "3", "--model.entanglement", "circular"]
    noise = ["--model.noise.preset", "author-code"]
    rows = read_page(report_of(tmp_path, *options, *noise)).rows
    assert rows["Rot with angles of the data"] == ["4", "3", "12"]
    assert rows["Rot with trained angles"] == ["4", "3", "12"]
    assert rows["CZ, between blocks"] == ["4", "2", "8"]
    assert rows["BitFlip 0.02 after rotations"] == ["4", "3", "12"]
    assert rows["BitFlip OnLastWire(value=0.02) after entangling layers"] == ["1", "2", "2"]


def test_gates_of_a_member_of_the_family(tmp_path):
    options = ["--model.encoding", "XY", "--model.scaling", "true", "--model.entangler", "ZZ"]
    options += ["--model.observables", "[Z0, X1, Z0 Z1]"]
    noise = ["--model.noise.after_entangler", "{TwoWireDepolarizing: 0.01}"]
    rows = read_page(report_of(tmp_path, *options, *noise)).rows
    assert rows["RX·RY with angles of the data, scaled"] == ["2", "2", "4"]
    assert rows["ZZ, between blocks"] == ["1", "1", "1"]
    assert rows["TwoWireDepolarizing 0.01 after entangling layers"] == ["1", "1", "1"]
    assert rows["observables, at the end"] == ["3", "1", "3"]


def test_synops_and_rates_of_the_layers(run, model, test_images):
    """A spike reaches three places in each direction, two at the border, in every channel."""
    rows = read_page(run).rows
    reach = np.array([2, *[3] * 6, 2])
    spikes = phase_code(test_images.images, 2).numpy()
    synops = 2 * np.einsum("tbchw,h,w->", spikes, reach, reach) / len(test_images.labels)
    assert rows["convolution 1"][0] == str(2 * 8 * 8)
    assert rows["convolution 1"][2:] == [f"{synops:,.0f}", "0"]
    rate = float(model.spiking(test_images.images).detach().mean())
    assert rows["linear"][:2] == ["6", f"{100 * rate:.2f}"]
    assert rows["classical part"][2:] == ["0", "4"]


def test_energies_are_numbers_times_costs(run):
    rows = read_page(run).rows
    layers = ["convolution 1", "convolution 2", "convolution 3", "linear", "classical part"]
    columns = [[float(rows[name][i].replace(",", "")) for name in layers] for i in (2, 3)]
    synops, macs = map(sum, columns)
    kinds = ["synaptic operations (SynOps)", "multiply-accumulates", "bytes of parameters read"]
    kinds += ["bytes of membrane potentials read and written", "arithmetic", "arithmetic and memory"]
    energies = {kind: float(rows[kind][-1].replace(",", "")) for kind in kinds}
    assert energies["synaptic operations (SynOps)"] == pytest.approx(0.0009 * synops, abs=8e-3)
    assert energies["multiply-accumulates"] == pytest.approx(0.0046 * macs, abs=8e-3)
    # 4 bytes for each weight used and, at 2 time steps and once in the head, for each bias.
    parameters = energies["bytes of parameters read"]
    assert parameters == pytest.approx(0.02496 * 4 * (synops + macs + 2 * 6 + 2), abs=0.3)
    # 4 bytes, read and written at 2 time steps, for each neuron.
    potentials = energies["bytes of membrane potentials read and written"]
    n_neurons = 2 * 64 + 4 * 16 + 8 * 4 + 6
    assert potentials == pytest.approx(0.02496 * 4 * 2 * 2 * n_neurons, abs=8e-3)
    total = energies["arithmetic"] + parameters + potentials
    assert energies["arithmetic and memory"] == pytest.approx(total, abs=2e-2)


@pytest.mark.parametrize(
    ("row", "column", "reached"), [(1, 2, 9), (0, 2, 6), (3, 3, 4)], ids=["inside", "edge", "corner"]
)
def test_synops_of_one_spike(row, column, reached):
    spikes = torch.zeros(3, 1, 1, 4, 4)  # T, batch, channels, height, width
    spikes[1, 0, 0, row, column] = 1
    layer = Convolution(1, 5)
    layer.step_mode = "m"
    synops = 5 * reached
    assert count_operations(layer, spikes) == Operations(synops, 0, 4 * synops, 0)


def test_operations_of_a_layer_without_spikes():
    expected = Operations(0, 7 * 3 * 2, 4 * 7 * (3 * 2 + 2), 0)
    assert count_operations(nn.Linear(3, 2), torch.full((7, 3), 0.5)) == expected


def test_operations_of_neurons():
    neurons = IntegrateAndFire()
    neurons.step_mode = "m"
    assert count_operations(neurons, torch.rand(3, 7, 5)) == Operations(0, 0, 0, 2 * 4 * 3 * 7 * 5)


@pytest.mark.parametrize("part", ["spiking", "quantum", "classical"])
def test_gradient_norms_are_those_of_the_step(part, run):
    data, model, _ = prepare(OPTIONS)
    loss = nn.CrossEntropyLoss(label_smoothing=OPTIONS.label_smoothing)
    loss(model(data.train.images), data.train.labels).backward()
    modules = {"spiking": model.spiking, "quantum": model.circuit, "classical": model.head}
    gradients = [parameter.grad.flatten() for parameter in modules[part].parameters()]
    row = read_rows(run / "metrics.csv")[0]
    assert float(row[f"gradient_norm_{part}"]) == pytest.approx(
        float(torch.cat(gradients).norm()), 1e-4
    )


@pytest.mark.parametrize(
    ("circuit", "missing", "quantum", "classical"),
    [
        ("frozen", set(), "0", "6"),
        ("mlp", {"circuit"}, "0", str(2 * 6 + 6)),
        ("none", {"circuit"}, "0", str(6 * 2 + 2)),
    ],
)
def test_twins(circuit, missing, quantum, classical, tmp_path):
    run = report_of(tmp_path, "--model.circuit", circuit)
    assert {row["gradient_norm_quantum"] for row in read_rows(run / "metrics.csv")} == {""}
    assert names_of(run / "report") == PICTURES - missing
    rows = read_page(run).rows
    assert (rows["quantum"], rows["classical"]) == ([quantum], [classical])


def test_a_run_without_gradient_norms_has_a_report_without_them(copy):
    metrics = copy / "metrics.csv"
    lines = [line.split(",")[:5] for line in metrics.read_text().splitlines()]
    metrics.write_text("\n".join(map(",".join, lines)))
    (copy / "report").mkdir()
    (copy / "report" / "gradient_norms.png").touch()  # of an earlier report
    (copy / "report" / "mine.png").touch()
    assert main(["report", str(copy)]) == 0
    assert names_of(copy / "report") == PICTURES - {"gradient_norms"} | {"mine"}
    assert "no norms of gradients" in (copy / "report" / "report.html").read_text()


def test_the_same_run_gives_the_same_report_quietly(run, copy, capfd):
    assert main(["report", str(copy)]) == 0
    output = capfd.readouterr()
    assert output.out == f"Report: {copy / 'report' / 'report.html'}\n"
    assert output.err == ""
    for file in (run / "report").iterdir():
        assert (copy / "report" / file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("error", [MemoryError("no ink"), PermissionError("no ink")], ids=repr)
def test_a_report_that_fails_leaves_the_old_one(error, copy, monkeypatch, capfd):
    def fail(*_):
        raise error

    assert main(["report", str(copy)]) == 0
    before = {file: file.read_bytes() for file in (copy / "report").iterdir()}
    monkeypatch.setattr(pictures.plots, "gradient_norms", fail)
    assert main(["report", str(copy)]) == 1
    assert capfd.readouterr().err == "sqdr: error: no ink\n"
    assert {file: file.read_bytes() for file in (copy / "report").iterdir()} == before


def cut(name):
    """What cuts a file of a run in two."""

    def damage(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return damage


def take_an_epoch(folder):
    lines = (folder / "metrics.csv").read_text().splitlines()
    (folder / "metrics.csv").write_text("\n".join(lines[:-1]))


def take_a_wire(folder):
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(config.replace("n_wires: 2", "n_wires: 3"))


def diverge(folder):
    """To weights that are not finite."""
    file = folder / "checkpoints" / "best.ckpt"
    checkpoint = torch.load(file, weights_only=True)
    checkpoint["state_dict"]["model.head.bias"][0] = float("nan")
    torch.save(checkpoint, file)


def diverge_in_validation(folder):
    rows = read_rows(folder / "metrics.csv")
    write_rows(
        folder / "metrics.csv", list(rows[0]), [row | {"validation_loss": "nan"} for row in rows]
    )


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "must be the folder of a finished run, but"),
        (
            lambda folder: (folder / "checkpoints" / "best.ckpt").unlink(),
            "has no checkpoints/best.ckpt",
        ),
        (take_an_epoch, "has 1 of 2 epochs"),
        (cut("checkpoints/best.ckpt"), "must hold a whole checkpoint that fits its configuration"),
        (take_a_wire, "must hold a whole checkpoint that fits its configuration"),
        (
            lambda folder: (folder / "config.yaml").write_text("epochs: many"),
            "the configuration of a run",
        ),
        (lambda folder: (folder / "config.yaml").write_text("a: ["), "the configuration of a run"),
        (lambda folder: (folder / "metrics.csv").write_text("epoch\n0\n1\n"), "must hold metrics"),
        (
            lambda folder: (folder / "metrics.csv").write_text("epoch,a\n0,b\n1,c\n"),
            "must hold metrics",
        ),
        (diverge, "must be a training that has not diverged, but the weights in"),
        (diverge_in_validation, "must be a training that has not diverged, but the validation loss in"),
    ],
    ids=[
        "no folder",
        "no checkpoint",
        "not finished",
        "half a checkpoint",
        "another model",
        "wrong option",
        "no YAML",
        "no metrics",
        "words for metrics",
        "diverged weights",
        "diverged loss",
    ],
)
def test_what_is_no_finished_run_is_one_line_and_writes_nothing(damage, message, copy, capfd):
    damage(copy)
    before = {file: file.is_file() and file.read_bytes() for file in copy.rglob("*")}
    error = assert_refused(["report", str(copy)], message, capfd)
    assert error.startswith("sqdr: error: Argument `run` must ")
    assert {file: file.is_file() and file.read_bytes() for file in copy.rglob("*")} == before


def test_tensorboard_has_the_metrics_of_the_file(run, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert main([*SMALL, "--tensorboard", "true", "--run", str(tmp_path)]) == 0
    assert (tmp_path / "metrics.csv").read_bytes() == (run / "metrics.csv").read_bytes()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    rows = read_rows(tmp_path / "metrics.csv")
    for name in set(rows[0]) - {"epoch"}:
        values = [event.value for event in events.Scalars(name)]
        assert values == pytest.approx([float(row[name]) for row in rows])


def test_without_tensorboard_the_remedy_is_named(tmp_path, monkeypatch, capfd):
    from lightning.fabric.loggers import tensorboard

    for flag in ("_TENSORBOARD_AVAILABLE", "_TENSORBOARDX_AVAILABLE"):
        monkeypatch.setattr(tensorboard, flag, False)
    assert main([*SMALL, "--tensorboard", "true", "--run", str(tmp_path / "run")]) == 2
    assert capfd.readouterr().err == (
        'sqdr: error: Option `logger` needs the package tensorboard: pip install "sqdr[tensorboard]"\n'
    )
    assert not list(tmp_path.iterdir())
