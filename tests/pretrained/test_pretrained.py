"""Folders of trained models: the round trip, broken, foreign and hostile files, the card."""

import copy
import json
import os
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml
from cases import BACKENDS
from PIL import Image
from safetensors.torch import load_file, save_file

import sqdr
from sqdr.backends.native import NativeCircuit
from sqdr.noise import OnLastWire
from sqdr.pretrained.config import read_config

NOISE = sqdr.NoiseModel(
    (sqdr.BitFlip(0.02), sqdr.AmplitudeDamping(0.1)), (sqdr.Depolarizing(1 / 3),), readout_error=0.01
)


def noise_of_tensors(strength):
    """Noise with a trained strength, one for each wire, and one that depends on the circuit."""
    trained = sqdr.PhaseFlip(torch.nn.Parameter(torch.tensor(strength)))
    return sqdr.NoiseModel(
        (trained, sqdr.BitFlip([0.01, 0.02, strength]), sqdr.BitFlip(OnLastWire(0.1)))
    )


#: A member of the family that differs from the published circuit in everything.
MEMBER = {
    "encoding": "YX",
    "rotation": "ZXYZ",
    "inputs": "split",
    "scaling": True,
    "entangler": "ZZ",
    "entanglement": "full",
    "observables": ["Z0", "X1 Y2"],
}

FILES = {"README.md", "config.json", "model.safetensors"}


def model_of(in_channels=1, num_class=4, head="linear", **options):
    """A model whose outputs depend on the image, and whose running statistics have moved."""
    torch.manual_seed(0)
    model = sqdr.SQDR_CNN(8, in_channels, num_class, 3, angle_scale=2.0, head=head, **options)
    with torch.no_grad():
        for parameter in model.spiking.parameters():
            parameter *= 4
    model(images_of(in_channels))
    return model.eval()


def images_of(channels=1, size=12):
    return torch.rand(5, channels, size, size, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def folder(tmp_path):
    """The folder of a small model, for the files in it to be broken."""
    model_of().save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


class NeverBuilt(sqdr.SQDR_CNN):
    """What is loaded where nothing may be built."""

    def __init__(self, *_, **__):
        raise AssertionError("a model was built")


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def change_config(folder, key, value):
    content = json.loads((folder / "config.json").read_text())
    *parents, last = key.split(".")
    place = content
    for parent in parents:
        place = place[parent]
    place[last] = value
    (folder / "config.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"noise": NOISE},
        {"noise": noise_of_tensors(0.3)},
        {"entanglement": [(2, 0), (1, 2)], "noise": NOISE, "qdr_block": 3},
        {"entanglement": "circular", "head": "none", "init_mode": "uniform", "init_range": (0, 0.5)},
        {"in_channels": 3, "width": 2, "head": "linear-relu"},
        {"backend": "pennylane", "noise": NOISE},
        {"backend": "torchquantum"},
        {"backend": "pennylane", "dtype": torch.float64},
        MEMBER,
        MEMBER | {"head": "none", "entanglement": [(0, 2)], "observables": "X"},
    ],
    ids=lambda options: "-".join(options) or "default",
)
def test_round_trip_is_exact(options, tmp_path):
    model, images = model_of(**options), images_of(options.get("in_channels", 1))
    model.save_pretrained(tmp_path / "saved")
    loaded = sqdr.SQDR_CNN.from_pretrained(tmp_path / "saved")
    torch.testing.assert_close(loaded.state_dict(), model.state_dict(), rtol=0, atol=0)
    outputs = model(images)
    assert outputs.std(dim=0).max() > 1e-3
    assert torch.equal(loaded(images), outputs)
    assert repr(loaded.circuit) == repr(model.circuit)
    assert type(loaded.circuit) is type(model.circuit)
    assert not loaded.training


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_are_kept(dtype, tmp_path):
    model = model_of().to(dtype)
    model.save_pretrained(tmp_path / "saved")
    loaded = sqdr.SQDR_CNN.from_pretrained(tmp_path / "saved")
    torch.testing.assert_close(loaded.state_dict(), model.state_dict(), rtol=0, atol=0)
    rounded = sqdr.SQDR_CNN.from_pretrained(tmp_path / "saved", "torchquantum")
    assert rounded.circuit.weights.dtype == torch.float32


@pytest.mark.parametrize("backend", BACKENDS)
def test_another_backend_and_noise_for_the_same_weights(backend, tmp_path):
    noise = sqdr.NoiseModel((sqdr.PhaseFlip(0.2),))
    model = model_of(noise=NOISE, entanglement="circular", qdr_block=3)
    model.save_pretrained(tmp_path / "saved")
    loaded = sqdr.SQDR_CNN.from_pretrained(tmp_path / "saved", backend, noise)
    expected = model_of(noise=noise, entanglement="circular", qdr_block=3)
    expected.load_state_dict(model.state_dict())
    torch.testing.assert_close(loaded(images_of()), expected(images_of()), rtol=0, atol=1e-5)
    assert loaded.backend == backend
    assert loaded.circuit.noise == noise


def test_a_backend_s_options_are_not_saved_but_can_be_given(tmp_path):
    model = model_of(backend="pennylane", shots=50, device="default.qubit")
    model.save_pretrained(tmp_path / "saved")
    assert sqdr.SQDR_CNN.from_pretrained(tmp_path / "saved").circuit.shots is None
    assert sqdr.SQDR_CNN.from_pretrained(tmp_path / "saved", shots=20).circuit.shots == 20


def test_a_given_noise_is_not_overwritten_by_the_saved_strengths(tmp_path):
    model_of(noise=noise_of_tensors(0.1)).save_pretrained(tmp_path / "saved")
    loaded = sqdr.SQDR_CNN.from_pretrained(tmp_path / "saved", noise=noise_of_tensors(0.2))
    assert loaded.circuit.noise == noise_of_tensors(0.2)
    loaded = sqdr.SQDR_CNN.from_pretrained(tmp_path / "saved", noise=None)
    assert loaded.circuit.noise is None


def test_a_model_moved_to_a_backend_is_saved_with_it(tmp_path):
    model_of().to_backend("pennylane").save_pretrained(tmp_path / "saved")
    assert read_config(tmp_path / "saved").arguments["backend"] == "pennylane"


def test_saving_and_loading_leave_random_numbers_and_the_model_alone(tmp_path):
    model = model_of().train()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    model.save_pretrained(tmp_path / "saved")
    sqdr.SQDR_CNN.from_pretrained(tmp_path / "saved")
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert model.training


def test_a_loaded_model_outlives_its_folder_and_trains(folder):
    loaded = sqdr.SQDR_CNN.from_pretrained(folder)
    expected = loaded(images_of()).detach()
    with (folder / "model.safetensors").open("r+b") as stream:
        stream.write(bytes(os.path.getsize(folder / "model.safetensors")))
    assert torch.equal(loaded(images_of()), expected)
    loaded.train()(images_of()).sum().backward()
    assert loaded.circuit.weights.grad.abs().sum() > 0


def test_the_config_is_what_was_said(tmp_path):
    model_of(num_class=2).save_pretrained(
        tmp_path / "saved",
        class_names=("cat", "Ärger"),
        image_size=12,
        data_name="digits",
        data_classes=(3, 8),
    )
    config = read_config(tmp_path / "saved")
    assert config.class_names == ["cat", "Ärger"]
    assert (config.image_size, config.data_name, config.data_classes) == (12, "digits", [3, 8])
    assert read_config(tmp_path / "saved").arguments["n_wires"] == 3


@pytest.mark.parametrize(("head", "outputs"), [("linear", 4), ("none", 3)])
def test_outputs_without_names_are_numbered(head, outputs, tmp_path):
    model_of(head=head).save_pretrained(tmp_path / "saved")
    assert read_config(tmp_path / "saved").class_names == [str(i) for i in range(outputs)]


def test_the_files_can_be_read_by_whom_the_umask_lets(tmp_path):
    (tmp_path / "usual").write_text("")
    usual = (tmp_path / "usual").stat().st_mode
    model_of().save_pretrained(tmp_path / "a" / "saved")
    assert {file.stat().st_mode for file in (tmp_path / "a" / "saved").iterdir()} == {usual}
    assert set(contents(tmp_path / "a" / "saved")) == FILES
    assert os.listdir(tmp_path / "a") == ["saved"]
    assert (tmp_path / "a" / "saved").stat().st_mode == (tmp_path / "a").stat().st_mode


# What saving refuses


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_names": ["a", "b"]}, "`class_names` must be a list of 4 entries, but is"),
        ({"class_names": ["a", "b", "c", "d\n"]}, "`class_names` must hold printable texts"),
        ({"image_size": 4}, "`image_size` must be an integer from 8 to"),
        ({"image_size": 16.0}, "`image_size` must be an integer"),
        ({"data_classes": [1]}, "`data.classes` must be a list of 4 entries"),
        ({"metrics": {"test": {"accuracy": float("nan")}}}, "`accuracy` must be a finite number"),
        ({"metrics": {"a\nb": {"accuracy": 1}}}, "`metrics` must hold printable texts of one line"),
        ({"metrics": [1]}, "`metrics` must be a mapping, but is "),
        ({"metrics": {"test": 0.5}}, r"`metrics\['test'\]` must be a mapping, but is 0.5"),
        ({"training": "long"}, "`training` must be a mapping, but is 'long'"),
        ({"class_names": "ab"}, "`class_names` must be a list, but is 'ab'"),
        ({"class_names": [1, 2]}, "`class_names` must hold printable texts of one line, but holds 1"),
        ({"data_classes": "01"}, "`data_classes` must be a list, but is '01'"),
        ({"image_size": "8"}, "`image_size` must be an integer of at least 1, but is '8'"),
        ({"data_name": 3}, "`data_name` must hold printable texts of one line, but holds 3"),
        ({"training": {"seed": "1\n---"}}, "`training` must hold printable texts of one line"),
        ({"license": ""}, "`license` must hold printable texts of one line"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_arguments_write_nothing(options, message, tmp_path):
    with pytest.raises(ValueError, match=f"^Argument {message}"):
        model_of().save_pretrained(tmp_path / "saved", **options)
    assert not list(tmp_path.iterdir())


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    model = model_of()
    with torch.no_grad():
        model.head.bias[1] = torch.inf
    with pytest.raises(ValueError, match=r"^Argument `head.bias` must be finite, but holds"):
        model.save_pretrained(tmp_path / "saved")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head": torch.nn.Linear(3, 7)}, r"`head.weight` must have shape \(4, 3\) for"),
        ({"extra": torch.nn.Linear(3, 4)}, "`tensors` must be those of the model, but hold 'extra.w"),
        ({"circuit": torch.nn.Identity()}, "`circuit` must be a ReuploadCircuit, but is a Identity"),
    ],
    ids=["head", "extra", "circuit"],
)
def test_a_model_that_was_changed_is_not_saved(change, message, tmp_path):
    model = model_of()
    for name, module in change.items():
        model.register_module(name, module)
    with pytest.raises(ValueError, match=f"^Argument {message}"):
        model.save_pretrained(tmp_path / "saved")
    assert not list(tmp_path.iterdir())


# Folders that are there


@pytest.mark.parametrize("place", ["saved", "empty", "link"])
def test_a_pretrained_folder_is_replaced_and_an_empty_one_filled(place, folder, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(folder)
    model_of(num_class=2).save_pretrained(tmp_path / place)
    assert read_config(tmp_path / place).arguments["num_class"] == 2
    assert (tmp_path / "link").is_symlink()
    assert set(os.listdir(tmp_path)) == {"saved", "empty", "link"}


@pytest.mark.parametrize(
    "foreign",
    [
        {"notes.txt": "mine"},
        {"config.json": '{"model_type": "bert"}', "model.safetensors": "", "README.md": ""},
        {"config.json": "not JSON", "model.safetensors": ""},
        {"model.safetensors": ""},
    ],
    ids=["notes", "bert", "no-json", "no-config"],
)
def test_a_foreign_folder_is_refused_and_left_alone(foreign, tmp_path):
    place = tmp_path / "foreign"
    place.mkdir()
    for name, text in foreign.items():
        (place / name).write_text(text)
    before = contents(place)
    with pytest.raises(
        ValueError, match=r"^Argument `folder` must be new, empty or a pretrained model"
    ):
        model_of().save_pretrained(place)
    assert contents(place) == before


def test_a_file_of_one_s_own_protects_a_pretrained_folder(folder):
    (folder / "notes.txt").write_text("mine")
    before = contents(folder)
    with pytest.raises(ValueError, match=r"^Argument `folder` must be new"):
        model_of().save_pretrained(folder)
    assert contents(folder) == before


def stop_at(number, owner, name, monkeypatch):
    """Let a function be interrupted in its call of this number."""
    calls, original = [], getattr(owner, name)

    def stop(*arguments):
        calls.append(arguments)
        if len(calls) == number:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(owner, name, stop)


@pytest.mark.parametrize(
    ("what", "number"), [*(("write_bytes", n) for n in (1, 3)), *(("replace", n) for n in range(1, 7))]
)
def test_an_interruption_in_the_middle_leaves_the_old_folder(what, number, folder, monkeypatch):
    before = contents(folder)
    stop_at(number, os if what == "replace" else type(folder), what, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        model_of(num_class=2).save_pretrained(folder)
    assert contents(folder) == before
    assert os.listdir(folder.parent) == [folder.name]


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_kill_in_the_middle_leaves_a_model_or_says_that_there_is_none(number, folder, tmp_path):
    """What a process leaves that ends in the midst of its renames."""
    os.mkdir(tmp_path / "new")
    model_of(num_class=2).save_pretrained(tmp_path / "new")
    process = subprocess.run(
        [sys.executable, "-c", _KILLED, str(tmp_path / "new"), str(folder), str(number)],
        check=False,
    )
    assert process.returncode == 9
    with pytest.raises(ValueError, match=r"config.json: it is of a model whose saving was interrupted"):
        sqdr.SQDR_CNN.from_pretrained(folder)
    model_of(num_class=2).save_pretrained(folder)
    assert sqdr.SQDR_CNN.from_pretrained(folder).num_class == 2


_KILLED = """
import os, sys, sqdr
source, folder, number = sys.argv[1:]
model, calls, replace = sqdr.SQDR_CNN.from_pretrained(source), [], os.replace

def kill(*arguments):
    replace(*arguments)
    calls.append(arguments)
    if len(calls) == int(number):
        os._exit(9)

os.replace = kill
model.save_pretrained(folder)
"""


def test_a_folder_that_is_there_stays_the_same_one(folder, monkeypatch):
    folder.chmod(0o2775)
    monkeypatch.chdir(folder)
    before = folder.stat()
    model_of(num_class=2).save_pretrained(".")
    assert set(os.listdir(".")) == FILES
    assert sqdr.SQDR_CNN.from_pretrained(".").num_class == 2
    after = folder.stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


def test_a_folder_whose_parent_cannot_be_written_is_saved_to(tmp_path):
    """As a mount point: nothing is made or renamed beside it."""
    place = tmp_path / "mounted" / "out"
    place.mkdir(parents=True)
    stat_before = place.parent.stat().st_mtime_ns
    model_of().save_pretrained(place)
    assert place.parent.stat().st_mtime_ns == stat_before
    assert set(os.listdir(place)) == FILES


def test_what_a_model_is_about_is_saved_again(tmp_path):
    about = {
        "class_names": ["cat", "dog"],
        "image_size": 12,
        "data_name": "digits",
        "data_classes": [3, 8],
    }
    model_of(num_class=2).save_pretrained(
        tmp_path / "saved", **about, metrics={"test": {"accuracy": 1}}
    )
    loaded = sqdr.SQDR_CNN.from_pretrained(tmp_path / "saved")
    loaded.save_pretrained(tmp_path / "again")
    assert read_config(tmp_path / "again") == read_config(tmp_path / "saved")
    assert "accuracy" not in (tmp_path / "again" / "README.md").read_text()  # it may have been trained
    loaded.to_backend("pennylane").save_pretrained(tmp_path / "moved", image_size=16)
    config = read_config(tmp_path / "moved")
    assert (config.class_names, config.image_size, config.data_name) == (["cat", "dog"], 16, "digits")


def test_an_unknown_argument_is_refused(tmp_path):
    with pytest.raises(TypeError, match="class_labels"):
        model_of().save_pretrained(tmp_path / "saved", class_labels=["a", "b", "c", "d"])
    assert not list(tmp_path.iterdir())


def test_the_card_shows_texts_as_they_are(tmp_path):
    about = {"class_names": ["<b>", "a_b_c", "[x](y)", "`d`"], "training": {"a|b": "*c*"}}
    model_of().save_pretrained(tmp_path / "saved", **about)
    text = (tmp_path / "saved" / "README.md").read_text()
    assert r"outputs: \<b\>, a\_b\_c, \[x\](y), \`d\`." in text
    assert r"| a/b | \*c\* |" in text


# Weights that are broken, foreign or hostile


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 100, -500, -1])
def test_truncated_weights(kept, folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"^\S+model.safetensors: it is no complete safetensors file"):
        NeverBuilt.from_pretrained(folder)


class Bomb:
    """Unpickling this makes a folder."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return os.mkdir, (self.place,)


@pytest.mark.parametrize("write", [pickle.dump, torch.save], ids=["pickle", "torch"])
@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_pickle_is_not_unpickled(write, name, folder, tmp_path):
    with (folder / name).open("wb") as stream:
        write(Bomb(str(tmp_path / "exploded")), stream)
    with pytest.raises(ValueError, match=rf"^\S+{name}: "):
        NeverBuilt.from_pretrained(folder)
    assert not (tmp_path / "exploded").exists()
    with (folder / name).open("rb") as stream:
        torch.load(stream, weights_only=False) if write is torch.save else pickle.load(stream)
    assert (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "content",
    [b"hello", b"\x89PNG\r\n\x1a\n" * 20, b"\xff" * 200, (2).to_bytes(8, "little") + b"{}"],
    ids=["text", "png", "ones", "no-tensors"],
)
def test_foreign_weights(content, folder):
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"^\S+model.safetensors: "):
        NeverBuilt.from_pretrained(folder)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("circuit.weights", None, "`tensors` must be those of the model, but lack circuit.weights"),
        ("x\x1b[31m", torch.zeros(1), r"`tensors` must .*, but hold 'x\\x1b\[31m' as well"),
        ("circuit.weights", torch.zeros(2, 4, 3), r"`circuit.weights` must have shape \(2, 3, 3\) for"),
        ("head.bias", torch.zeros(4, 1), r"`head.bias` must have shape \(4,\) for .* \(4, 1\)"),
        ("head.bias", torch.zeros(4, dtype=torch.int64), "`head.bias` must have dtype BF16 or"),
        ("head.bias", torch.tensor([0, 0, 0, torch.nan]), "`head.bias` must be finite"),
        ("circuit.weights", torch.full((2, 3, 3), -torch.inf), "`circuit.weights` must be finite"),
        (
            "spiking.layers.1.num_batches_tracked",
            torch.tensor(1.0),
            "`spiking.layers.1.num_batches_tracked` must have dtype I64, but has F32",
        ),
    ],
    ids=["missing", "extra", "wires", "rank", "integers", "nan", "inf", "counter"],
)
def test_wrong_tensors(name, change, message, folder):
    file = folder / "model.safetensors"
    tensors = load_file(file)
    tensors.pop(name, None)
    save_file(tensors if change is None else tensors | {name: change}, file)
    with pytest.raises(ValueError, match=rf"^\S+model.safetensors: Argument {message}"):
        NeverBuilt.from_pretrained(folder)


# Configurations that are broken, foreign or hostile


@pytest.mark.parametrize("kept", [0, 1, 300, -3])
def test_truncated_config(kept, folder):
    file = folder / "config.json"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"^\S+config.json: "):
        NeverBuilt.from_pretrained(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "it is nested too deeply"),
        (" " * 2**20 + "{}", "it has more than 1,048,576 bytes"),
        ('{"model_type": NaN}', "it holds NaN, which is not JSON"),
        ("[]", "Argument `model_type` must be"),
        ('{"model_type": "bert"}', "Argument `model_type` must be"),
        ("\ud800".encode("utf-8", "surrogatepass"), ""),
    ],
    ids=["nested", "long", "nan", "list", "bert", "no-utf8"],
)
def test_foreign_config(text, message, folder):
    (folder / "config.json").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ValueError, match=rf"^\S+config.json: {message}") as refused:
        NeverBuilt.from_pretrained(folder)
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format_version", 2, "`format_version` must be 1, but is 2, by sqdr '0.1.0'"),
        ("sqdr_version", 1, "`sqdr_version` must be a printable text"),
        ("import", "os", "`config` must hold model_type, .* and nothing else, but holds 'import'"),
        ("arguments", [], r"`arguments` must hold T, .* and nothing else, but is \[\]"),
        ("arguments.shots", 5, "`arguments` must hold .* and nothing else, but holds 'shots'"),
        ("arguments.T", 10**9, "`T` must be an integer from 1 to 10,000, but is 1000000000"),
        ("arguments.T", True, "`T` must be an integer from 1 to 10,000, but is True"),
        ("arguments.in_channels", 0, "`in_channels` must be an integer from 1"),
        ("arguments.n_wires", 10**4000, "`n_wires` must be an integer from 1 to 100,000, but is 1000"),
        ("arguments.n_wires", "3", "`n_wires` must be an integer from 1 to 100,000, but is '3'"),
        ("arguments.qdr_block", 2.0, "`qdr_block` must be an integer"),
        ("arguments.num_class", None, "`num_class` must be an integer"),
        ("arguments.width", {}, "`width` must be an integer"),
        ("arguments.angle_scale", 10**400, "`angle_scale` must be a finite number"),
        ("arguments.angle_scale", "1", "`angle_scale` must be a finite number"),
        ("arguments.head", "mlp", "`head` must be one of linear-relu, linear, none, but is 'mlp'"),
        ("arguments.head", ["linear"], "`head` must be one of"),
        ("arguments.init_mode", "zeros", "`init_mode` must be one of normal, uniform"),
        ("arguments.init_range", [0, 1, 2], "`init_range` must be a list of 2 entries"),
        ("arguments.init_range", [1, 0], r"`init_range` must have its lower bound first"),
        ("arguments.backend", "../plugin\n", "`backend` must be a printable text"),
        ("arguments.entanglement", "/etc/passwd", "`entanglement` must be .*, but is"),
        ("arguments.entanglement", [[0, 5]], r"`entanglement` must .*, but holds \[0, 5\]"),
        ("arguments.entanglement", [["x" * 10_000, 0]], "`entanglement` must .*, but holds"),
        (
            "arguments.entanglement",
            [[0, 1]] * 10_001,
            "`entanglement` must have at most 10,000 ",
        ),
        ("arguments.noise", "BitFlip", "`noise` must"),
        ("arguments.noise", {"after_rotation": []}, "`noise` must hold .*, but lacks"),
        ("class_names", "cat", "`class_names` must be a list of 4 entries"),
        ("class_names", ["a", "b", "c", "\x1b[2J"], "`class_names` must be a printable text"),
        ("class_names", [1, 2, 3, 4], "`class_names` must be a printable text"),
        ("image_size", 10**6, "`image_size` must be an integer from 8 to 10,000"),
        ("data", None, "`data` must hold name, classes and nothing else, but is None"),
        ("data.name", "x" * 1000, "`data.name` must be a printable text of 1 to 200 characters"),
        ("data.classes", [0, 1, 2, "3"], "`data.classes` must be an integer"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_hostile_config(key, value, message, folder):
    change_config(folder, key, value)
    with pytest.raises(ValueError, match=rf"^\S+config.json: Argument {message}") as refused:
        NeverBuilt.from_pretrained(folder)
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize(
    ("place", "channels", "message"),
    [
        ("after_rotation", [{"BitFlip": 2}], "`BitFlip.p` must be a finite number in"),
        ("after_rotation", [{"BitFlip": 10**400}], "`BitFlip.p` must be a finite number in"),
        ("after_entangler", [{"Channel": 0.1}], "`channel` must be one of BitFlip"),
        ("after_entangler", ["BitFlip"], "`after_entangler` must"),
        ("after_rotation", [{"BitFlip": {"Parameter": "0.1"}}], "`BitFlip.p` must be a finite number"),
        ("after_rotation", [{"BitFlip": {"Tensor": 0.1}}], "`BitFlip.p` must be a finite number"),
        ("preset", "device", "`noise` must hold .* and nothing else, but holds 'preset'"),
        ("readout_error", "0.1", "`readout_error` must be a finite number in"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_hostile_noise(place, channels, message, tmp_path):
    model_of(noise=NOISE).save_pretrained(tmp_path / "saved")
    change_config(tmp_path / "saved", f"arguments.noise.{place}", channels)
    with pytest.raises(ValueError, match=rf"^\S+config.json: Argument {message}"):
        NeverBuilt.from_pretrained(tmp_path / "saved")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("n_wires", 100_000),
        ("qdr_block", 100_000),
        ("width", 1_000),
        ("in_channels", 1_000),
        ("num_class", 100_000),
    ],
)
def test_a_config_that_is_larger_than_the_weights_builds_nothing(key, value, folder):
    change_config(folder, f"arguments.{key}", value)
    with pytest.raises(
        ValueError, match=r"model.safetensors: Argument `.*` must have shape .* for the"
    ):
        NeverBuilt.from_pretrained(folder)


def test_a_link_to_a_secret_does_not_show_it(folder, tmp_path):
    (tmp_path / "secret").write_text("hunter2")
    (folder / "config.json").unlink()
    (folder / "config.json").symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match=r"^\S+config.json: ") as refused:
        sqdr.SQDR_CNN.from_pretrained(folder)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("target", ["nowhere", "/dev/zero", "/tmp"])
def test_a_file_that_is_none_is_missing(target, name, folder):
    (folder / name).unlink()
    (folder / name).symlink_to(target)
    with pytest.raises(FileNotFoundError, match=rf"{name} is missing, or no regular file"):
        sqdr.SQDR_CNN.from_pretrained(folder)


def test_nothing_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"^There is no folder user/model; nothing is downl"):
        sqdr.SQDR_CNN.from_pretrained("user/model")


def test_a_backend_that_is_not_there(folder):
    change_config(folder, "arguments.backend", "no-such-backend")
    with pytest.raises(ValueError, match=r"^Argument `backend` must be one of native"):
        sqdr.SQDR_CNN.from_pretrained(folder)
    assert sqdr.SQDR_CNN.from_pretrained(folder, "native").backend == "native"


@pytest.mark.parametrize("noise", ["trained", 0.1])
def test_a_noise_that_is_none(noise, folder):
    with pytest.raises(ValueError, match=r"^Argument `noise` must be a NoiseModel"):
        sqdr.SQDR_CNN.from_pretrained(folder, noise=noise)


def test_without_safetensors_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.delitem(sys.modules, "sqdr.pretrained")
    with pytest.raises(sqdr.MissingPackageError, match=r'safetensors: pip install "sqdr\[share\]"'):
        model_of().save_pretrained(tmp_path / "saved")


def test_the_config_of_the_published_circuit_names_its_entanglement_alone(folder):
    written = json.loads((folder / "config.json").read_text())["arguments"]
    assert set(written) & set(MEMBER) == {"entanglement"}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("arguments.encoding", "ZQ", "`encoding` must be"),
        ("arguments.rotation", "Z" * 201, "`rotation` must be"),
        ("arguments.inputs", "once", "`inputs` must be"),
        ("arguments.scaling", 1, "`scaling` must be"),
        ("arguments.entangler", "CX", "`entangler` must be"),
        ("arguments.observables", ["Z9"], "`observables` must be"),
        ("arguments.observables", ["Z0"] * 10_001, "`observables` must have at most 10,000"),
        ("arguments.observables", ["Z0"], "`head.weight` must"),
        ("arguments.rotation", "X", "`circuit.weights` must"),
    ],
)
def test_another_member_in_the_config(key, value, message, tmp_path):
    model_of(**MEMBER).save_pretrained(tmp_path)
    change_config(tmp_path, key, value)
    with pytest.raises(ValueError, match=re.escape(message)):
        NeverBuilt.from_pretrained(tmp_path)


# The model card


def card_of(folder):
    """The front matter and the text below it."""
    _, header, text = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(header), text


def test_the_card_is_filled(tmp_path):
    model_of(noise=NOISE, num_class=2).save_pretrained(
        tmp_path / "saved",
        class_names=["cat", "dog"],
        image_size=12,
        data_name="my: animals",
        metrics={"test": {"accuracy": 0.75, "cross entropy": 0.5}, "validation": {"accuracy": 0.8}},
        training={"epochs": 7, "optimiser": "AdamW | SGD"},
        license="mit",
    )
    header, text = card_of(tmp_path / "saved")
    assert header["license"] == "mit"
    assert header["library_name"] == "sqdr"
    (entry,) = header["model-index"]
    assert [result["dataset"]["split"] for result in entry["results"]] == ["test", "validation"]
    assert entry["results"][0]["dataset"]["name"] == "my: animals"
    assert entry["results"][0]["metrics"] == [
        {"type": "accuracy", "value": 0.75},
        {"type": "cross entropy", "value": 0.5},
    ]
    rows = [tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in text.splitlines()]
    assert ("test", "accuracy", "0.75") in rows
    assert ("epochs", "7") in rows
    assert ("optimiser", "AdamW / SGD") in rows
    parts = {row[0]: row[2] for row in rows if row and row[0] in ("spiking", "circuit", "head")}
    # Convolutions, their normalisations and the linear layer; 2 blocks of 3 wires; 2 classes.
    spiking = 9 * (1 * 2 + 2 * 4 + 4 * 8) + 2 * (2 + 4 + 8) + 8 * 9 + 9
    assert parts == {"spiking": str(spiking), "circuit": "18", "head": "8"}
    assert "BitFlip 0.02, AmplitudeDamping 0.1 after rotations; Depolarizing 0.3333 after" in text
    assert "cat, dog" in text
    assert "12 x 12" in text


def test_the_card_names_what_is_not_published(tmp_path):
    model_of(**MEMBER).save_pretrained(tmp_path)
    _, text = card_of(tmp_path)
    assert "encoding YX, rotation ZXYZ, inputs split, scaling, entangler ZZ, entanglement full" in text
    assert "2 observables" in text


def test_the_card_of_a_model_without_a_story_claims_nothing(folder):
    header, text = card_of(folder)
    assert not {"license", "model-index"} & set(header)
    assert "None were given." in text
    assert "Licence: none has been stated." in text


def test_a_backend_without_a_name_is_not_saved(tmp_path):
    class Mine(NativeCircuit):
        pass

    message = r"^Argument `backend` must have a name, .* but is the class Mine\."
    with pytest.raises(sqdr.ArgumentError, match=message):
        model_of(backend=Mine).save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


# Another model than its configuration says


class TwiceTheAngles(sqdr.SQDR_CNN):
    def angles(self, images):
        return 2 * super().angles(images)


class WithMethod(sqdr.SQDR_CNN):
    def classes(self, images):
        return self(images).argmax(1)


def hook_the_head(model):
    model.head.register_forward_hook(lambda *called: 2 * called[-1])


def hook_the_circuit(model):
    model.circuit.register_forward_hook(lambda *called: 2 * called[-1])


def patch_forward(model):
    model.forward = lambda images: model.head(-model.circuit(model.angles(images)))


@pytest.mark.parametrize("change", [hook_the_head, hook_the_circuit, patch_forward])
def test_a_model_that_computes_something_else_is_not_saved(change, tmp_path):
    model = model_of()
    change(model)
    with pytest.raises(
        sqdr.ArgumentError, match=r"^Argument `(model|circuit)` must be one that its conf"
    ):
        model.save_pretrained(tmp_path / "saved")
    assert not list(tmp_path.iterdir())


def test_a_subclass_with_another_code_is_not_saved(tmp_path):
    with pytest.raises(
        sqdr.ArgumentError, match=r"^Argument `model` must be one that its configuration"
    ):
        TwiceTheAngles(2, 1, 3, n_wires=3).save_pretrained(tmp_path / "saved")


def test_a_subclass_that_computes_the_same_is_saved(tmp_path):
    WithMethod(2, 1, 3, n_wires=3).save_pretrained(tmp_path / "saved")
    assert isinstance(WithMethod.from_pretrained(tmp_path / "saved"), WithMethod)


def test_an_angle_scale_that_was_changed_is_saved(tmp_path):
    model = model_of()
    model.angle_scale = 2.5
    model.save_pretrained(tmp_path / "saved")
    loaded = sqdr.SQDR_CNN.from_pretrained(tmp_path / "saved")
    images = torch.rand(2, 1, 16, 16)
    torch.testing.assert_close(loaded(images), model.eval()(images))


def test_a_strength_that_two_channels_share_is_not_saved(tmp_path):
    shared = torch.nn.Parameter(torch.tensor(0.1))
    noise = sqdr.NoiseModel((sqdr.BitFlip(shared), sqdr.PhaseFlip(shared)))
    with pytest.raises(
        sqdr.ArgumentError, match=r"^Argument `after_rotation_1_PhaseFlip` must have a Par"
    ):
        model_of(noise=noise).save_pretrained(tmp_path / "saved")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"spiking": torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 6))}, "spiking"),
        ({"circuit": torch.nn.Linear(6, 2)}, "`circuit` must be a ReuploadCircuit, but is a Linear"),
    ],
)
def test_a_model_with_parts_of_ones_own_is_not_saved(part, message, tmp_path):
    model = sqdr.SQDR_CNN(2, 1, 2, n_wires=2, **part)
    with pytest.raises(ValueError, match=message):
        model.save_pretrained(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_the_transform_of_a_loaded_model(tmp_path):
    """Grey, resized as in training, and 0 to 1 from black to white."""
    sqdr.SQDR_CNN(2, 1, 2, n_wires=2).save_pretrained(tmp_path / "model", image_size=8)
    transform = sqdr.SQDR_CNN.from_pretrained(tmp_path / "model").transform
    pixels = np.zeros((16, 16, 3), dtype=np.uint8)
    pixels[:, 8:] = 255
    picture = Image.fromarray(pixels)
    picture.save(tmp_path / "half.png")
    image = transform(tmp_path / "half.png")
    assert image.shape == (1, 8, 8)
    assert torch.equal(image, transform(picture))
    torch.testing.assert_close(image[0, :, 0], torch.zeros(8))
    torch.testing.assert_close(image[0, :, -1], torch.ones(8))


@pytest.mark.parametrize("method", ["expectation_values", "evaluate", "realised_noise"])
def test_a_circuit_with_another_method_is_not_saved(method, tmp_path):
    model = sqdr.SQDR_CNN(2, 1, 3, 3)
    setattr(model.circuit, method, lambda *inputs: inputs[0])
    with pytest.raises(ValueError, match="another method"):
        model.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_scale_of_angles_of_numpy_is_saved(tmp_path):
    model = sqdr.SQDR_CNN(2, 1, 3, 3)
    model.angle_scale = np.float32(0.5)
    model.save_pretrained(tmp_path / "model")
    assert sqdr.SQDR_CNN.from_pretrained(tmp_path / "model").angle_scale == 0.5


def test_what_a_model_is_about_in_numpy_s_numbers(tmp_path):
    model = sqdr.SQDR_CNN(2, 1, 2, n_wires=2)
    about = {"class_names": np.array(["a", "b"]), "data_classes": np.arange(2)}
    about["image_size"] = np.int64(8)
    model.save_pretrained(tmp_path / "model", **about, data_name="digits")
    loaded = sqdr.SQDR_CNN.from_pretrained(tmp_path / "model").about
    assert (loaded.class_names, loaded.data_classes, loaded.image_size) == (["a", "b"], [0, 1], 8)


@pytest.mark.parametrize(
    ("name", "value"), [("T", 3), ("n_wires", 2), ("neuron", "LIF"), ("scaling", True)]
)
def test_arguments_that_the_folder_knows_are_refused(name, value, tmp_path):
    sqdr.SQDR_CNN(2, 1, 2, n_wires=2).save_pretrained(tmp_path / "model")
    message = f"`{name}` must not be given, since it is that of the model that was saved, but is "
    with pytest.raises(ValueError, match=message):
        sqdr.SQDR_CNN.from_pretrained(tmp_path / "model", **{name: value})


@pytest.mark.parametrize("path", [None, 3, b"model", "model\0", "~no-such-user/model"])
@pytest.mark.parametrize("use", ["save_pretrained", "from_pretrained"])
def test_what_is_no_path_is_refused_by_name(use, path):
    model = sqdr.SQDR_CNN(2, 1, 2, n_wires=2)
    with pytest.raises(ValueError, match=r"^Argument `folder` must be a path, but is "):
        getattr(model, use)(path)


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    sqdr.SQDR_CNN(2, 1, 2, n_wires=2).save_pretrained("~/model")
    assert (tmp_path / "model" / "config.json").is_file()
    assert sqdr.SQDR_CNN.from_pretrained("~/model").quantum.n_wires == 2
