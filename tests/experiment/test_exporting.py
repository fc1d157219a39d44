"""`sqdr export`, as a user calls it."""

import json

import numpy as np
import pytest
import torch
from cases import NEEDS_QISKIT
from commands import assert_refused
from PIL import Image

import sqdr
import sqdr.experiment
from sqdr.experiment.cli import main
from sqdr.experiment.data.sets import ImageData
from sqdr.experiment.options import DataOptions, ExportOptions

CLASSES = (3, 8)
NOISE = sqdr.NoiseModel((sqdr.BitFlip(0.02),))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(1)
    model = sqdr.SQDR_CNN(4, 1, 2, 3, noise=NOISE, entangler="ZZ", observables=["X0 Z1", "Y2"])
    with torch.no_grad():
        for parameter in model.spiking.parameters():
            parameter *= 4  # so that neurons fire
    folder = tmp_path_factory.mktemp("models") / "model"
    names = ["three", "eight"]
    model.save_pretrained(
        folder, class_names=names, image_size=12, data_name="digits", data_classes=CLASSES
    )
    return folder


def exported(folder, tmp_path, *options):
    """The index that the command writes, and the programs by their files."""
    where = tmp_path / "circuits"
    assert main(["export", str(folder), *options, "--folder", str(where)]) == 0
    index = json.loads((where / "circuits.json").read_text())
    programs = {file.name: file.read_text() for file in where.glob("*.qasm")}
    assert {program["file"] for program in index["programs"]} == set(programs)
    return index, programs


@NEEDS_QISKIT
@pytest.mark.parametrize("version", ["3", "2.0"])
def test_another_program_finds_the_class_by_what_is_written(version, folder, tmp_path, capfd):
    from qiskit import qasm2, qasm3
    from qiskit.quantum_info import SparsePauliOp, Statevector

    index, programs = exported(folder, tmp_path, "--max_images", "2", "--version", version)
    read = qasm2.loads if version == "2.0" else qasm3.loads
    for program in index["programs"]:
        state = Statevector(read(programs[program["file"]]))
        values = [
            state.expectation_value(SparsePauliOp.from_sparse_list([term], 3)).real
            for term in (("XZ", [0, 1], 1), ("Y", [2], 1))
        ]
        np.testing.assert_allclose(values, program["expectation_values"], rtol=0, atol=1e-9)
        logits = np.array(index["head"]["weight"]) @ values + index["head"]["bias"]
        assert program["class"] == index["classes"][logits.argmax()]
    assert index["noise_left_out"] == "BitFlip 0.02 after rotations"
    assert capfd.readouterr().out == f"Programs: {tmp_path / 'circuits'}\n"


def test_the_index_names_test_images(folder, tmp_path):
    index, _ = exported(folder, tmp_path, "--max_images", "4")
    test = ImageData(DataOptions(classes=CLASSES, image_size=12)).test
    model = sqdr.SQDR_CNN.from_pretrained(folder, noise=None)
    for program in index["programs"]:
        assert program["of"] == "digits"
        assert program["label"] == ["three", "eight"][test.labels[program["image"]]]
        values = model.circuit(model.angles(test.images[program["image"]][None]))[0]
        np.testing.assert_allclose(values.detach(), program["expectation_values"], rtol=0, atol=1e-5)
    assert len({program["image"] for program in index["programs"]}) == 4


def test_images_of_files(folder, tmp_path):
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    for brightness, file in enumerate(files):
        Image.new("L", (12, 12), 200 * brightness).save(file)
    index, programs = exported(folder, tmp_path, *map(str, files), "--measure")
    assert [program["image"] for program in index["programs"]] == [str(file) for file in files]
    assert all(program.endswith("c = measure q;\n") for program in programs.values())
    where = sqdr.experiment.export(ExportOptions(folder, tmp_path / "again", 2), files)
    assert (where / "1.qasm").read_text().startswith("OPENQASM 2.0;")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--version", "4"], "Argument `version` must be 3 or 2, but is 4"),
        (["--max_images", "0"], "Argument `max_images` must be an integer of at least 1"),
        (["no_such_file.png"], "no_such_file.png"),
        (["--folder", "full"], "Argument `folder` must be new or empty, but full is not"),
        (["--data.name", "mnist"], "Data set mnist is not in datasets"),
    ],
)
def test_a_wrong_export_is_one_line_and_writes_nothing(
    options, message, folder, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    assert_refused(["export", str(folder), *options], message, capfd)
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "mine.txt"]
