"""Training runs, by the command line as a user starts them."""

import numpy as np
import pytest
import torch
import yaml
from cases import needs_qiskit
from commands import assert_refused, read_rows
from lightning.pytorch.utilities import rank_zero_only
from matplotlib.image import imread

import sqdr
from sqdr.experiment.cli import main
from sqdr.experiment.plots import confusion_matrix, curves
from sqdr.pretrained.config import read_config

#: A run that takes a second: two classes, a small model, two epochs.
SMALL = [
    "train",
    *("--data.classes", "[0, 1]", "--data.image_size", "8", "--data.batch_size", "64"),
    *("--model.T", "2", "--model.width", "1", "--model.n_wires", "2"),
    *("--epochs", "2", "--seed", "3"),
]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "small"
    assert main([*SMALL, "--run", str(folder)]) == 0
    return folder


def test_the_run_folder_is_complete(run_folder):
    files = {str(file.relative_to(run_folder)) for file in run_folder.rglob("*") if file.is_file()}
    assert files == {
        "config.yaml",
        "made_with.yaml",
        "metrics.csv",
        "curves.png",
        "confusion.png",
        "test.csv",
        "run.lock",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "model/README.md",
        "model/config.json",
        "model/model.safetensors",
    }


def test_metrics_have_one_row_for_each_epoch(run_folder):
    rows = read_rows(run_folder / "metrics.csv")
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert list(rows[0]) == [
        "epoch",
        "training_loss",
        "training_accuracy",
        "validation_loss",
        "validation_accuracy",
        "gradient_norm_spiking",
        "gradient_norm_quantum",
        "gradient_norm_classical",
    ]
    assert all(0 <= float(row["validation_accuracy"]) <= 1 for row in rows)
    assert all(0 < float(row["training_loss"]) < 5 for row in rows)


def test_the_config_starts_the_same_run_again(run_folder, tmp_path):
    assert main(["train", "--config", str(run_folder / "config.yaml"), "--run", str(tmp_path)]) == 0
    assert (tmp_path / "metrics.csv").read_bytes() == (run_folder / "metrics.csv").read_bytes()
    assert (tmp_path / "config.yaml").read_bytes() == (run_folder / "config.yaml").read_bytes()


def test_another_seed_gives_another_run(run_folder, tmp_path):
    config = str(run_folder / "config.yaml")
    assert main(["train", "--config", config, "--seed", "4", "--run", str(tmp_path)]) == 0
    assert (tmp_path / "metrics.csv").read_bytes() != (run_folder / "metrics.csv").read_bytes()


def test_the_best_checkpoint_holds_the_best_epoch_s_weights(run_folder):
    rows = read_rows(run_folder / "metrics.csv")
    best = min(rows, key=lambda row: float(row["validation_loss"]))
    checkpoint = torch.load(run_folder / "checkpoints" / "best.ckpt", weights_only=True)
    assert checkpoint["epoch"] == int(best["epoch"])
    model = sqdr.SQDR_CNN(2, 1, 2, n_wires=2, head="linear")
    prefix = "model."
    weights = {
        name.removeprefix(prefix): value
        for name, value in checkpoint["state_dict"].items()
        if name.startswith(prefix)
    }
    model.load_state_dict(weights)


def test_the_model_to_share_is_that_of_the_best_epoch(run_folder):
    model = sqdr.SQDR_CNN.from_pretrained(run_folder / "model")
    checkpoint = torch.load(run_folder / "checkpoints" / "best.ckpt", weights_only=True)
    saved = {name: checkpoint["state_dict"][f"model.{name}"] for name in model.state_dict()}
    torch.testing.assert_close(dict(model.state_dict()), saved, rtol=0, atol=0)


def test_the_model_to_share_tells_how_it_was_trained(run_folder, capfd):
    config = read_config(run_folder / "model")
    assert (config.class_names, config.image_size) == (["0", "1"], 8)
    assert (config.data_name, config.data_classes) == ("digits", [0, 1])
    assert main(["evaluate", "--model", str(run_folder / "model")]) == 0
    accuracy = float(capfd.readouterr().out.splitlines()[-2].split("|")[4]) / 100
    best = min(read_rows(run_folder / "metrics.csv"), key=lambda row: float(row["validation_loss"]))
    card = (run_folder / "model" / "README.md").read_text()
    assert f"| test | accuracy | {accuracy:.4g} |" in card
    assert f"| validation | accuracy | {float(best['validation_accuracy']):.4g} |" in card
    assert f"| epoch of these weights | {int(best['epoch']) + 1} of 2, that of the" in card
    assert "| seed | 3 |" in card


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--learning_rate", "1e30"], "training has diverged, to weights that are not finite"),
        (["--model.circuit", "mlp"], 'circuit "mlp" makes a twin of the classifier, for comparison'),
        (["--model.circuit", "none"], 'circuit "none" makes a twin of the classifier, for comparison'),
    ],
    ids=["diverged", "mlp", "none"],
)
def test_neither_nan_nor_a_twin_is_a_model_to_share(options, reason, tmp_path, capfd):
    assert main([*SMALL, *options, "--run", str(tmp_path)]) == 0
    assert not (tmp_path / "model").exists()
    assert capfd.readouterr().out.splitlines()[-2] == f"No folder `model` to share: {reason}"


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_task_of_a_slurm_job_is_a_run_of_its_own(rank, tmp_path, monkeypatch):
    job = {"NTASKS": "4", "JOB_NAME": "job", "JOB_ID": "5", "PROCID": rank, "LOCALID": rank}
    for name, value in job.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.setattr(rank_zero_only, "rank", int(rank))  # as Lightning does when it is imported
    options = ["--tensorboard", "true", "--epochs", "1", "--run", str(tmp_path)]
    assert main([*SMALL, *options]) == 0
    assert len(list((tmp_path / "tensorboard").glob("events.out.*"))) == 1


def test_the_curves_show_every_epoch(tmp_path, monkeypatch):
    from sqdr.experiment.training import run as training

    plotted = []
    monkeypatch.setattr(
        training.plots, "curves", lambda rows, best: plotted.extend(rows) or curves(rows, best)
    )
    monkeypatch.setattr(training, "best_epoch", lambda _: 1)  # the others are shown too
    assert main([*SMALL, "--epochs", "4", "--run", str(tmp_path)]) == 0
    assert [row["epoch"] for row in plotted] == [0, 1, 2, 3]


@pytest.mark.parametrize("picture", ["curves.png", "confusion.png"])
def test_pictures_show_something(run_folder, picture):
    pixels = imread(run_folder / picture)
    assert min(pixels.shape[:2]) > 400
    assert pixels.std() > 0.05


def test_the_last_lines_name_the_accuracy_and_the_folder(tmp_path, capfd):
    assert main([*SMALL, "--epochs", "1", "--run", str(tmp_path)]) == 0
    output = capfd.readouterr()
    lines = output.out.splitlines()
    assert lines[0].startswith("SQDR-CNN with 478 parameters on digits: 259 training, 29 validation")
    assert lines[-2].startswith("Test accuracy: ")
    assert 0 <= float(lines[-2].split()[2]) <= 100
    assert lines[-1] == f"Run folder: {tmp_path}"
    assert output.err == ""


@pytest.mark.parametrize("backend", ["pennylane", "torchquantum", needs_qiskit("qiskit")])
def test_every_backend_trains(backend, tmp_path):
    options = ["--model.backend", backend, "--epochs", "1", "--run", str(tmp_path)]
    assert main([*SMALL, *options]) == 0
    assert len(read_rows(tmp_path / "metrics.csv")) == 1


def test_a_head_without_a_learning_rate_stays_as_it_was(tmp_path):
    options = ["--head_learning_rate", "0", "--epochs", "1", "--run", str(tmp_path)]
    assert main([*SMALL, *options]) == 0
    checkpoint = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    torch.manual_seed(3)
    untrained = sqdr.SQDR_CNN(2, 1, 2, n_wires=2, head="linear")
    assert torch.equal(checkpoint["state_dict"]["model.head.weight"], untrained.head.weight)
    moved = checkpoint["state_dict"]["model.circuit.weights"] - untrained.circuit.weights
    assert moved.abs().max() > 0


def test_a_member_of_the_family_trains(tmp_path):
    member = {
        "encoding": "XY",
        "rotation": "ZX",
        "inputs": "split",
        "scaling": True,
        "entangler": "ZZ",
        "entanglement": "full",
        "observables": ["Z0", "X0 X1"],
    }
    options = [text for name, value in member.items() for text in (f"--model.{name}", str(value))]
    assert main([*SMALL, *options, "--epochs", "1", "--run", str(tmp_path)]) == 0
    circuit = sqdr.SQDR_CNN.from_pretrained(tmp_path / "model").circuit
    assert circuit.family() == member | {"observables": ("Z0", "X0 X1")}
    assert (circuit.scales - 1).abs().max() > 0
    before = sqdr.create_circuit("native", 2, 2, **member)
    assert [t.shape for t in circuit.trained_tensors()] == [t.shape for t in before.trained_tensors()]


def test_a_model_without_a_head_trains(tmp_path):
    assert main([*SMALL, "--model.head", "none", "--epochs", "1", "--run", str(tmp_path)]) == 0


def test_backends_start_alike(run_folder, tmp_path):
    """Later epochs drift apart, since a spike more or less follows from rounding."""
    assert main([*SMALL, "--model.backend", "torchquantum", "--run", str(tmp_path)]) == 0
    (loss, expected) = (
        float(read_rows(f / "metrics.csv")[0]["training_loss"]) for f in (tmp_path, run_folder)
    )
    assert loss == pytest.approx(expected, abs=5e-3)


def test_noise_from_the_command_line(tmp_path):
    noise = "{BitFlip: 0.02, AmplitudeDamping: 0.1}"
    options = ["--model.noise.after_rotation", noise, "--model.noise.readout_error", "0.01"]
    assert main([*SMALL, *options, "--epochs", "1", "--run", str(tmp_path)]) == 0
    written = yaml.safe_load((tmp_path / "config.yaml").read_text())["model"]["noise"]
    assert written["after_rotation"] == {"BitFlip": 0.02, "AmplitudeDamping": 0.1}
    assert list(written["after_rotation"]) == ["BitFlip", "AmplitudeDamping"]
    assert written["readout_error"] == 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", "many"], "epochs"),
        (["--epochs", "0"], "Argument `epochs` must be an integer of at least 1, but is 0."),
        (["--no_such_option", "1"], "no_such_option"),
        (["--model.backend", "no-such-backend"], "Argument `backend` must be one of native"),
        (["--model.noise.after_rotation", "{Foo: 1}"], "Argument `channel` must be one of BitFlip"),
        (["--model.noise.after_rotation", "{BitFlip: 2}"], "Argument `BitFlip.p` must be"),
        (["--model.head", "none", "--model.n_wires", "3"], "Argument `head` must not be"),
        (["--model.encoding", "ZQ"], "Argument `encoding` must be"),
        (["--model.observables", "[Z0, Z7]"], "Argument `observables` must be"),
        (["--data.name", "mnist"], "Data set mnist is not in datasets: allow its download"),
        (["--config", "no_such_file.yaml"], "no_such_file.yaml"),
    ],
)
@pytest.mark.usefixtures("empty_folder")
def test_a_wrong_call_is_one_line_and_writes_nothing(options, message, capfd):
    assert_refused([*SMALL, *options], message, capfd)


def test_a_folder_in_use_is_refused_and_left_alone(run_folder, capfd):
    before = {file: file.read_bytes() for file in run_folder.rglob("*.*") if file.is_file()}
    assert main([*SMALL, "--run", str(run_folder)]) == 2
    assert "Argument `run` must be a new or empty folder" in capfd.readouterr().err
    assert {file: file.read_bytes() for file in before} == before


def test_print_config_is_a_config(capfd):
    with pytest.raises(SystemExit) as stopped:
        main(["train", "--epochs", "7", "--print_config"])
    assert stopped.value.code == 0
    assert yaml.safe_load(capfd.readouterr().out)["epochs"] == 7


def test_backends_are_listed(capfd):
    assert main(["backends"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[1:4]] == [
        ["native", "works", "sqdr"],
        ["pennylane", "works", "pennylane"],
        ["torchquantum", "works", "torchquantum-ng"],
    ]


def test_a_backend_that_does_not_load_is_listed_with_the_reason(capfd, monkeypatch):
    from sqdr.experiment.commands import backends

    def fail(name, **_):
        if name == "pennylane":
            raise sqdr.MissingPackageError("Backend `pennylane`", "pennylane", "pennylane")
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(backends, "create_circuit", fail)
    assert main(["backends"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[1].split(maxsplit=2) == ["native", "broken", "RuntimeError: first line"]
    assert lines[2].endswith('needs the package pennylane: pip install "sqdr[pennylane]"')


def test_without_a_command_the_help_is_printed(capfd):
    assert main([]) == 0
    assert "train" in capfd.readouterr().out


def test_curves_plot_every_epoch():
    rows = [
        {
            "epoch": epoch,
            "training_loss": 1.0 - epoch / 4,
            "validation_loss": 1.0,
            "training_accuracy": epoch / 4,
            "validation_accuracy": 0.5,
        }
        for epoch in range(3)
    ]
    loss, accuracy = curves(rows).axes
    assert loss.lines[0].get_xydata().tolist() == [[1, 1.0], [2, 0.75], [3, 0.5]]
    assert accuracy.lines[0].get_xydata().tolist() == [[1, 0], [2, 25], [3, 50]]


def test_confusion_matrix_has_true_classes_in_rows():
    axes = confusion_matrix([[3, 1], [0, 4]], ["cat", "dog"]).axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.75, 0.25], [0, 1]])
    assert {(*text.get_position(), text.get_text()) for text in axes.texts} == {
        (0, 0, "3"),
        (1, 0, "1"),
        (1, 1, "4"),
    }
    assert axes.get_title() == "accuracy 87.5 %"


def test_each_epoch_is_a_line_where_there_is_no_terminal(run_folder, tmp_path, capfd):
    config = ["train", "--config", str(run_folder / "config.yaml"), "--run", str(tmp_path)]
    assert main(config) == 0
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("Epoch ")]
    rows = read_rows(run_folder / "metrics.csv")
    assert len(lines) == len(rows) == 2
    for number, (line, row) in enumerate(zip(lines, rows, strict=True), 1):
        assert line.startswith(
            f"Epoch {number} of 2: training loss {float(row['training_loss']):.4f}, "
            f"validation loss {float(row['validation_loss']):.4f}, "
            f"validation accuracy {100 * float(row['validation_accuracy']):.2f} %, "
        )
        assert line.endswith(" left")
    assert lines[-1].endswith(" images/s, 0:00:00 left")


def test_the_cross_entropy_of_the_test_is_that_of_evaluate(run_folder, capfd):
    (row,) = read_rows(run_folder / "test.csv")
    assert main(["evaluate", "--model", str(run_folder / "model")]) == 0
    table = capfd.readouterr().out.splitlines()
    (cells,) = [line.split("|") for line in table if "native" in line]
    assert float(cells[5]) == pytest.approx(float(row["test_cross_entropy"]), abs=1e-4)
    assert float(row["test_loss"]) > float(row["test_cross_entropy"])  # with label smoothing


@pytest.mark.parametrize("logger", ["wandb", "mlflow"])
def test_a_logger_that_is_not_installed_is_named_at_once(logger, tmp_path, monkeypatch, capfd):
    from sqdr.experiment.training import monitoring

    monkeypatch.setattr(monitoring, "find_spec", lambda _: None)
    options = ["--logger", logger, "--run", str(tmp_path / "run")]
    assert_refused([*SMALL, *options], f'pip install "sqdr[{logger}]"', capfd)
    assert not (tmp_path / "run").exists()


def test_tensorboard_is_a_logger(tmp_path):
    assert main([*SMALL, "--epochs", "1", "--logger", "tensorboard", "--run", str(tmp_path)]) == 0
    assert len(list((tmp_path / "tensorboard").glob("events.out.*"))) == 1


@pytest.mark.parametrize(
    ("variable", "uri"), [(None, "sqlite:///{}/a run/mlflow.db"), ("http://there", "http://there")]
)
def test_mlflow_writes_into_the_run_or_where_its_variable_says(variable, uri, tmp_path, monkeypatch):
    from sqdr.experiment.training import monitoring

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if variable:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", variable)
    given = {}
    monkeypatch.setattr(monitoring, "MLFlowLogger", lambda _, **options: given.update(options))
    monitoring.new_logger("mlflow", tmp_path / "a run")
    assert given["tracking_uri"] == uri.format(tmp_path)
    assert given["artifact_location"] == str(tmp_path / "a run" / "mlflow")
