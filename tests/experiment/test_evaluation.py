"""`sqdr predict` and `sqdr evaluate`, as a user calls them."""

import numpy as np
import pytest
import torch
from cases import NEEDS_QISKIT, needs_qiskit
from commands import assert_refused
from PIL import Image
from sklearn.metrics import accuracy_score, log_loss

import sqdr
import sqdr.experiment
from sqdr.experiment.cli import main
from sqdr.experiment.data.sets import ImageData
from sqdr.experiment.options import DataOptions, EvaluationOptions, PredictionOptions

CLASSES = (3, 8, 0)
NOISE = sqdr.NoiseModel((sqdr.BitFlip(0.02), sqdr.Depolarizing(0.1)))


def images_to_test():
    """The test images of the classes, as training sees them."""
    return ImageData(DataOptions(classes=CLASSES, image_size=12)).test


def chosen_images(n):
    """Those that an evaluation of n images takes."""
    images, labels = images_to_test()
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    return images[order[:n]]


@pytest.fixture(scope="module")
def model():
    """A model that finds each class in some images, and is right about some."""
    torch.manual_seed(1)
    model = sqdr.SQDR_CNN(8, 1, 3, 3, head="linear", angle_scale=3.0, noise=NOISE)
    with torch.no_grad():
        for parameter in model.spiking.parameters():
            parameter *= 4
        images = images_to_test().images
        model(images)
        model.eval().head.weight *= 5
        model.head.bias -= model(images).mean(0)
    return model


@pytest.fixture
def folder(model, tmp_path):
    model.save_pretrained(
        tmp_path / "model",
        class_names=["three", "eight", "a round zero"],
        image_size=12,
        data_name="digits",
        data_classes=CLASSES,
    )
    return tmp_path / "model"


def write_images(folder, images):
    """PNG files of images (n, 1, height, width), rounded to 8 bits, and what they hold."""
    rounded = (images * 255).round().byte()
    files = [folder / f"{number}.png" for number in range(len(images))]
    for file, image in zip(files, rounded, strict=True):
        Image.fromarray(image[0].numpy()).save(file)
    return [str(file) for file in files], rounded / 255


def test_predictions_are_the_model_s_own(model, folder, tmp_path, capfd):
    files, images = write_images(tmp_path, images_to_test().images[:20])
    assert main(["predict", "--model", str(folder), *files]) == 0
    lines = [line.split("\t") for line in capfd.readouterr().out.splitlines()]
    probabilities, classes = model(images).softmax(1).max(1)
    names = ["three", "eight", "a round zero"]
    assert [line[:2] for line in lines] == [[f, names[c]] for f, c in zip(files, classes, strict=True)]
    np.testing.assert_allclose([float(p) for _, _, p in lines], probabilities.detach(), atol=6e-5)
    assert set(classes.tolist()) == {0, 1, 2}


def test_the_most_probable_classes_come_first(model, folder, tmp_path, capfd):
    files, images = write_images(tmp_path, images_to_test().images[:1])
    assert main(["predict", *files, "--model", str(folder), "--top", "9"]) == 0
    (line,) = capfd.readouterr().out.splitlines()
    names, probabilities = line.split("\t")[1::2], [float(p) for p in line.split("\t")[2::2]]
    assert sorted(names) == ["a round zero", "eight", "three"]
    assert probabilities == sorted(probabilities, reverse=True)
    expected = model(images).softmax(1)[0].detach()
    np.testing.assert_allclose(probabilities, expected.sort(descending=True).values, atol=6e-5)


def test_files_are_resized_as_training_images_are(model, folder, tmp_path, capfd):
    """Digits are 8 x 8, and the model saw them in 12 x 12."""
    small = ImageData(DataOptions(classes=CLASSES, image_size=8)).test.images[:5]
    files, _ = write_images(tmp_path, small * 16 * 15 / 255)  # whole numbers of the 255 steps
    assert main(["predict", "--model", str(folder), *files]) == 0
    printed = [float(line.split("\t")[2]) for line in capfd.readouterr().out.splitlines()]
    expected = model(images_to_test().images[:5] * 16 * 15 / 255).softmax(1).max(1).values.detach()
    np.testing.assert_allclose(printed, expected, atol=6e-5)


def test_inverted_images_predict_alike(folder, tmp_path, capfd):
    files, images = write_images(tmp_path, images_to_test().images[:5])
    assert main(["predict", "--model", str(folder), *files]) == 0
    expected = capfd.readouterr().out
    write_images(tmp_path, 1 - images)
    assert main(["predict", "--model", str(folder), *files, "--invert", "true"]) == 0
    assert capfd.readouterr().out == expected
    assert main(["predict", str(folder), "--invert", *files]) == 0
    assert capfd.readouterr().out == expected


def test_dark_on_light_is_noticed(folder, tmp_path, capfd):
    files, _ = write_images(tmp_path, 1 - images_to_test().images[:5])
    assert main(["predict", str(folder), *files]) == 0
    note = "sqdr: note: 5 of 5 images are brighter at the border than in the middle"
    assert capfd.readouterr().err.startswith(note)
    assert main(["predict", str(folder), *files, "--invert"]) == 0
    assert capfd.readouterr().err == ""


def test_a_bad_file_does_not_stop_the_others(folder, tmp_path, capfd):
    (tmp_path / "images").mkdir()
    files, _ = write_images(tmp_path / "images", images_to_test().images[:2])
    assert main(["predict", str(folder), *files]) == 0
    first, second = capfd.readouterr().out.splitlines()
    bad = tmp_path / "images" / "0-bad.png"
    bad.write_text("hello")
    assert main(["predict", str(folder), str(tmp_path / "images"), "no_such_file.png"]) == 1
    output = capfd.readouterr()
    lines = output.out.splitlines()
    assert lines[1:3] == [first, second]
    assert lines[0].startswith(f"{bad}\terror: ")
    assert "cannot identify image file" in lines[0]
    assert "no_such_file.png is none: there is no such file" in lines[3]
    assert output.err == "sqdr: error: 2 of 4 files cannot be read\n"


def test_the_run_stands_for_its_model(folder, tmp_path, capfd):
    files, _ = write_images(tmp_path, images_to_test().images[:2])
    assert main(["predict", str(folder), *files]) == 0
    expected = capfd.readouterr().out
    (folder.parent / "config.yaml").write_text("")
    assert main(["predict", str(folder.parent), *files]) == 0
    assert capfd.readouterr().out == expected


def test_a_file_s_name_stays_in_its_column(folder, tmp_path, capfd):
    file = tmp_path / "a\tb\nc.png"
    Image.new("L", (8, 8)).save(file)
    assert main(["predict", str(folder), str(file)]) == 0
    assert capfd.readouterr().out.startswith(f"{tmp_path}/a\\tb\\nc.png\t")


def test_predictions_from_python(model, folder, tmp_path):
    files, images = write_images(tmp_path, images_to_test().images[:3])
    predicted = sqdr.experiment.predict(files, PredictionOptions(folder, top=2))
    probabilities = model(images).softmax(1).topk(2).values.detach()
    assert [str(image.file) for image in predicted] == files
    computed = [[p for _, p in image.classes] for image in predicted]
    np.testing.assert_allclose(computed, probabilities, atol=1e-6)


def test_a_model_of_any_size_takes_images_as_they_are(model, tmp_path, capfd):
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "large").mkdir()
    files, small = write_images(tmp_path, images_to_test().images[:1])
    more, large = write_images(tmp_path / "large", torch.rand(1, 1, 20, 30))
    assert main(["predict", "--model", str(tmp_path / "model"), *files, *more]) == 0
    printed = [float(line.split("\t")[2]) for line in capfd.readouterr().out.splitlines()]
    expected = [model(images).softmax(1).max().item() for images in (small, large)]
    np.testing.assert_allclose(printed, expected, atol=6e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "model", "empty"], "must name image files, or folders of them, but empty holds"),
        (["run", "a.png"], "must be the folder of a model, or of a finished run that holds one"),
        (
            ["--model", "model", "a.png", "--top", "0"],
            "Argument `top` must be an integer of at least 1",
        ),
        (["--model", "model", "a.png", "--backend", "x"], "Argument `backend` must be one of native"),
        (["--model", "no_such_folder", "a.png"], "There is no folder no_such_folder"),
        (["--model", "broken", "a.png"], "config.json is missing"),
        (["--model", "model"], "`sqdr predict` needs a model and images; for instance: sqdr predict"),
        (["a.png"], "`sqdr predict` needs a model and images; for instance: sqdr predict"),
        ([], "`sqdr predict` needs a model; for instance: sqdr predict"),
    ],
)
def test_a_wrong_prediction_is_one_line(options, message, folder, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save("a.png")
    for name in ("broken", "empty", "run"):
        (tmp_path / name).mkdir()
    (tmp_path / "run" / "config.yaml").write_text("")
    assert folder.exists()
    assert_refused(["predict", *options], message, capfd)


def test_an_evaluation_from_python(model, folder):
    (row,) = sqdr.experiment.evaluate(EvaluationOptions(folder))
    images, labels = images_to_test()
    assert row.accuracy == pytest.approx(accuracy_score(labels, model(images).argmax(1)))
    assert row.n_images == len(labels)


def table(output):
    """Rows of the Markdown table as dictionaries of texts."""
    rows = [
        [cell.strip() for cell in line.strip().split("|")[1:-1]]
        for line in output.splitlines()
        if line.strip()
    ]
    head, rule, *rows = rows
    assert all(set(cell) == {"-"} for cell in rule)
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_the_table_holds_what_scikit_learn_computes(model, folder, capfd):
    options = ["--backends", "[native, pennylane]", "--max_images", "20", "--batch_size", "8"]
    noises = "[saved, none, {after_entangler: {PhaseFlip: 0.3}, readout_error: 0.1}]"
    assert main(["evaluate", "--model", str(folder), *options, "--noises", noises]) == 0
    rows = table(capfd.readouterr().out)
    strong = sqdr.NoiseModel((), (sqdr.PhaseFlip(0.3),), 0.1)
    cases = [(b, noise) for b in ("native", "pennylane") for noise in (NOISE, None, strong)]
    words = {
        NOISE: "BitFlip 0.02, Depolarizing 0.1 after rotations",
        None: "none",
        strong: "PhaseFlip 0.3 after entangling layers; readout error 0.1",
    }
    assert [(row["backend"], row["noise"]) for row in rows] == [(b, words[n]) for b, n in cases]
    chosen = torch.randperm(len(images_to_test().labels), generator=torch.Generator().manual_seed(0))[
        :20
    ]
    images, labels = (part[chosen] for part in images_to_test())
    with torch.no_grad():
        logits = [model.to_backend("native", noise=noise)(images).double() for _, noise in cases]
    right = [accuracy_score(labels, these.argmax(1)) for these in logits]
    losses = [log_loss(labels, these.softmax(1)) for these in logits]
    assert len(set(losses)) == 3
    assert [row["accuracy (%)"] for row in rows] == [f"{100 * share:.2f}" for share in right]
    np.testing.assert_allclose([float(row["cross entropy"]) for row in rows], losses, atol=1e-4)
    assert {row["images"] for row in rows} == {"20"}


@pytest.mark.parametrize("backend", [needs_qiskit("qiskit")])
def test_qiskit_evaluates_and_predicts_as_the_native_engine(backend, folder, tmp_path, capfd):
    options = ["--max_images", "5", "--noises", "saved,none"]
    assert main(["evaluate", str(folder), "--backends", f"native,{backend}", *options]) == 0
    rows = table(capfd.readouterr().out)
    losses = [row["cross entropy"] for row in rows]
    assert losses[:2] == losses[2:]
    files, _ = write_images(tmp_path, images_to_test().images[:2])
    printed = []
    for name in ("native", backend):
        assert main(["predict", str(folder), *files, "--backend", name]) == 0
        printed.append(capfd.readouterr().out)
    assert printed[0] == printed[1]


@pytest.mark.parametrize("device", [needs_qiskit("FakeManilaV2")])
def test_a_device_beside_what_is_predicted_and_mitigated(device, model, folder, capfd):
    """By its calibration, by Aer with its noise, and with readout errors inverted."""
    options = ["--max_images", "10", "--shots", "20000", "--layout", "2,3,4"]
    assert main(["evaluate", str(folder), "--device", device, *options]) == 0
    rows = table(capfd.readouterr().out)
    assert [(row["backend"], row["noise"]) for row in rows] == [
        ("native", "none"),
        ("native", f"predicted for {device}"),
        ("qiskit", f"{device} on qubits 2, 3, 4, 20000 shots"),
        ("qiskit", "the same, readout inverted"),
    ]
    zero, predicted, measured, mitigated = (float(row["error of values"]) for row in rows)
    assert zero == 0
    assert measured > 2 * mitigated
    assert abs(predicted - measured) < 0.01
    # The measured values are those of the circuit on the device.
    images = chosen_images(10)
    with torch.no_grad():
        exact, on_device = (
            model.to_backend(name, noise=None, **of_device)
            for name, of_device in (
                ("native", {}),
                ("qiskit", {"device": device, "layout": [2, 3, 4]}),
            )
        )
        values = [each.circuit(each.angles(images)) for each in (exact, on_device)]
    assert (values[0] - values[1]).abs().mean().item() == pytest.approx(measured, abs=0.01)


@pytest.mark.parametrize("device", [needs_qiskit("FakeManilaV2")])
def test_the_least_noisy_qubits_are_taken(device, folder, capfd):
    options = ["--device", device, "--max_images", "2", "--shots", "10"]
    assert main(["evaluate", str(folder), *options]) == 0
    assert "FakeManilaV2 on qubits 4, 3, 2, 10 shots" in capfd.readouterr().out


@pytest.mark.parametrize("device", [needs_qiskit("FakeManilaV2")])
def test_a_failed_job_is_one_line(device, folder, monkeypatch, capfd):
    def fail(*_, **__):
        raise sqdr.JobError("A job on fake_manila failed: cancelled")

    monkeypatch.setattr("sqdr.backends.qiskit.devices.Aer.run", fail)
    assert main(["evaluate", str(folder), "--device", device]) == 1
    output = capfd.readouterr()
    assert output.out == ""
    assert output.err == "sqdr: error: A job on fake_manila failed: cancelled\n"


@NEEDS_QISKIT
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "FakeNothing"], "Argument `device` must be the name of a snapshot"),
        (
            ["--device", "FakeManilaV2", "--layout", "0,1"],
            "Argument `layout` must be 3 distinct qubits",
        ),
        (["--device", "FakeManilaV2", "--layout", "0,1,3"], "qubits 1 and 3 have none"),
        (["--device", "FakeManilaV2", "--backends", "native"], "Argument `device` must stand without"),
        (["--device", "FakeManilaV2", "--noises", "none"], "Argument `device` must stand without"),
        (
            ["--device", "FakeManilaV2", "--shots", "0"],
            "Argument `shots` must be an integer of at least 1",
        ),
        (["--layout", "0,1,2"], "Argument `device` must be given for a layout and zero_noise"),
    ],
)
def test_a_wrong_device_is_one_line(options, message, folder, capfd):
    assert_refused(["evaluate", str(folder), *options], message, capfd)


def test_by_default_all_test_images_on_the_model_s_own_backend_and_noise(model, folder, capfd):
    assert main(["evaluate", "--model", str(folder)]) == 0
    (row,) = table(capfd.readouterr().out)
    images, labels = images_to_test()
    right = accuracy_score(labels, model(images).argmax(1))
    assert 0.2 < right < 1
    assert row["accuracy (%)"] == f"{100 * right:.2f}"
    assert row["images"] == str(len(labels))
    assert row["backend"] == "native"
    assert float(row["time (s)"]) >= 0


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_noise_is_drawn_from_the_seed(command, model, tmp_path, capfd):
    noisy = model.to_backend("native", noise=sqdr.NoiseModel.preset("author-code"))
    noisy.save_pretrained(tmp_path / "model", image_size=12, data_name="digits", data_classes=CLASSES)
    files, _ = write_images(tmp_path, images_to_test().images[:3])
    words = [command, "--model", str(tmp_path / "model"), *(files if command == "predict" else [])]

    def numbers(seed):
        assert main([*words, "--seed", seed]) == 0
        output = capfd.readouterr().out
        return output if command == "predict" else table(output)[0]["cross entropy"]

    assert numbers("1") == numbers("1") != numbers("2")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seed", "-1"], "Argument `seed` must be an integer of at least 0"),
        (["--backends", "[no-such-backend]"], "Argument `backend` must be one of native"),
        (["--noises", "[loud]"], "noises"),
        (["--noises", "[]"], "Argument `noises` must hold at least one noise"),
        (
            ["--noises", "[saved, {after_rotation: {BitFlip: 2}}]"],
            "sqdr: error: Argument `BitFlip.p` must be a finite number in [0, 1], but is 2.0.\n",
        ),
        (
            ["--data.name", "mnist"],
            "Data set mnist is not in datasets: allow its download with --data.",
        ),
        (["--max_images", "0"], "Argument `max_images` must be an integer of at least 1"),
        (["--batch_size", "0"], "Argument `batch_size` must be an integer of at least 1"),
        (["--model", "no_such_folder"], "There is no folder no_such_folder"),
    ],
)
def test_a_wrong_evaluation_is_one_line(options, message, folder, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert_refused(["evaluate", "--model", str(folder), *options], message, capfd)


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({}, "Argument `data.name` must name a data set, since the model names none"),
        ({"data_name": "digits"}, "must name a data set of 3 classes and 1 channels, like the model's"),
        ({"data_name": "my own"}, "Argument `name` must be one of digits, mnist"),
    ],
    ids=["none", "ten-classes", "unknown"],
)
def test_a_data_set_that_does_not_fit_is_refused(saved, message, model, tmp_path, capfd):
    model.save_pretrained(tmp_path / "model", **saved)
    assert_refused(["evaluate", "--model", str(tmp_path / "model")], message, capfd)
