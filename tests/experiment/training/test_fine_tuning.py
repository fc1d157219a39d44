"""Trainings that begin with the weights of a shared model or of another run."""

import shutil
from dataclasses import replace

import pytest
import torch
from commands import SMALL, TRAINING

import sqdr
import sqdr.experiment
from sqdr.experiment.cli import main
from sqdr.experiment.training.preparation import prepare

SHORT = replace(TRAINING, epochs=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose last weights are not its best."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    run = sqdr.experiment.train(replace(TRAINING, run=folder))
    last = folder / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(last, weights_only=True)
    checkpoint["state_dict"]["model.circuit.weights"] += 0.5
    torch.save(checkpoint, last)
    return run


def weights_of(checkpoint):
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    return {n.removeprefix("model."): v for n, v in state.items() if n.startswith("model.")}


def same(weights, others):
    return all(torch.equal(weights[name], others[name]) for name in weights)


def test_a_run_gives_its_last_weights_and_a_model_its_own(run):
    last = weights_of(run.folder / "checkpoints" / "last.ckpt")
    best = weights_of(run.folder / "checkpoints" / "best.ckpt")
    assert not same(last, best)
    assert same(dict(run.model.state_dict()), best)
    assert same(prepare(replace(SHORT, init_from=run.folder))[1].state_dict(), last)
    assert same(prepare(replace(SHORT, init_from=run.folder / "model"))[1].state_dict(), best)


def test_what_follows_is_drawn_as_without_it(run):
    prepare(SHORT)
    expected = torch.rand(3)
    prepare(replace(SHORT, init_from=run.folder))
    assert torch.equal(torch.rand(3), expected)


def test_a_head_for_other_classes_begins_anew(run):
    options = replace(SHORT, data=replace(SHORT.data, classes=(3, 4)))
    tuned = prepare(replace(options, init_from=run.folder))[1].state_dict()
    fresh = prepare(options)[1].state_dict()
    last = weights_of(run.folder / "checkpoints" / "last.ckpt")
    of_head = [name for name in tuned if name.startswith("head")]
    assert of_head
    assert same({name: tuned[name] for name in of_head}, fresh)
    assert same({name: tuned[name] for name in tuned if name not in of_head}, last)


@pytest.mark.parametrize("source", ["run", "unfinished run", "model"])
@pytest.mark.parametrize(("classes", "is_kept"), [((0, 1, 2), True), ((2, 1, 0), False)], ids=str)
def test_a_head_for_as_many_other_classes_begins_anew(source, classes, is_kept, run, tmp_path):
    folder = tmp_path / "source"
    shutil.copytree(run.folder / "model" if source == "model" else run.folder, folder)
    if source == "unfinished run":
        shutil.rmtree(folder / "model")
    options = replace(SHORT, data=replace(SHORT.data, classes=classes))
    tuned = prepare(replace(options, init_from=folder))[1]
    assert torch.equal(tuned.head.weight, prepare(options)[1].head.weight) is not is_kept


@pytest.mark.parametrize(("classes", "begins_anew"), [("0,1,2", False), ("2,1,0", True)])
def test_the_command_says_that_a_head_begins_anew(classes, begins_anew, run, tmp_path, capsys):
    command = [*SMALL, "--epochs", "1", "--data.classes", classes, "--init_from", str(run.folder)]
    assert main(["train", *command, "--run", str(tmp_path / "tuned")]) == 0
    said = f"The head begins anew: that of {run.folder} is another or has other classes\n"
    assert (said in capsys.readouterr().out) is begins_anew


def test_weights_of_a_diverged_training_are_refused(run, tmp_path):
    folder = tmp_path / "diverged"
    shutil.copytree(run.folder, folder)
    last = folder / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(last, weights_only=True)
    checkpoint["state_dict"]["model.head.bias"][1] = torch.nan
    torch.save(checkpoint, last)
    message = r"`init_from` must hold finite weights, but head.bias of .*diverged is not: its training"
    with pytest.raises(ValueError, match=message):
        prepare(replace(SHORT, init_from=folder))


def test_a_resumed_run_needs_the_first_one_no_more(run, tmp_path):
    options = replace(SHORT, init_from=run.folder, run=tmp_path / "second", epochs=1)
    accuracy = sqdr.experiment.train(options).accuracy
    (tmp_path / "second" / "test.csv").unlink()
    moved = run.folder.rename(run.folder.with_name("moved"))
    try:
        assert sqdr.experiment.train(options, resume=True).accuracy == accuracy
    finally:
        moved.rename(run.folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"T": 3}, "has T 2, not 3"),
        ({"n_wires": 3}, "has n_wires 2, not 3"),
        ({"width": 2}, "width 1"),
        ({"neuron": "LIF"}, "has neuron IF, not LIF"),
        ({"code": "direct"}, "has code phase, not direct"),
        ({"encoding": "XYX"}, "has encoding ZYZ, not XYX"),
        ({"scaling": True}, "has scaling False, not True"),
    ],
    ids=str,
)
def test_another_architecture_is_refused(change, message, run):
    options = replace(SHORT, model=replace(SHORT.model, **change), init_from=run.folder)
    with pytest.raises(ValueError, match=f"^Argument `init_from` must be a model with .*{message}"):
        prepare(options)


def test_a_folder_without_a_model_is_refused(tmp_path):
    message = f"^Argument `init_from` must be the folder of a model or of a run, but {tmp_path} has"
    with pytest.raises(ValueError, match=message):
        prepare(replace(SHORT, init_from=tmp_path))
