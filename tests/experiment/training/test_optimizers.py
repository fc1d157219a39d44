"""Optimizers by name, beside steps by hand."""

from dataclasses import replace

import lightning
import pytest
import torch
from commands import TRAINING

from sqdr.experiment.options import new_optimizer
from sqdr.experiment.training.run import Run


def step_of(options, gradient):
    """What two steps make of a parameter that is 1."""
    parameter = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = new_optimizer(options, [{"params": [parameter]}])
    for _ in range(2):
        parameter.grad = torch.full_like(parameter, gradient)
        optimizer.step()
    return float(parameter)


def test_sgd_with_momentum_and_decay():
    options = replace(
        TRAINING,
        optimizer="SGD",
        optimizer_options={"momentum": 0.9},
        learning_rate=0.1,
        weight_decay=0.5,
    )
    velocity = 2 + 0.5 * 1
    first = 1 - 0.1 * velocity
    velocity = 0.9 * velocity + 2 + 0.5 * first
    assert step_of(options, 2.0) == pytest.approx(first - 0.1 * velocity)


def test_adam_s_decay_is_part_of_the_gradient_and_adamw_s_is_not():
    # Adam's first steps are the sign of the gradient, whatever its size.
    options = replace(TRAINING, learning_rate=0.1, weight_decay=0.5)
    adamw = (1 * (1 - 0.05) - 0.1) * (1 - 0.05) - 0.1
    assert step_of(options, 2.0) == pytest.approx(adamw)
    assert step_of(replace(options, optimizer="Adam"), 1e3) == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize(
    ("optimizer", "further", "name", "kept"),
    [
        ("AdamW", {}, "betas", False),
        ("AdamW", {"betas": (0.5, 0.9)}, "betas", True),
        ("SGD", {"momentum": 0.7}, "momentum", True),
    ],
)
def test_options_of_the_optimizer_last_through_the_schedule(
    optimizer, further, name, kept, tmp_path, monkeypatch
):
    seen = set()

    def note(module, epoch, batch, optimizer, *others, **further):
        value = optimizer.param_groups[0][name]
        seen.add(value[0] if name == "betas" else value)
        return real(module, epoch, batch, optimizer, *others, **further)

    real = lightning.LightningModule.optimizer_step
    monkeypatch.setattr(lightning.LightningModule, "optimizer_step", note)
    options = replace(TRAINING, optimizer=optimizer, optimizer_options=further, epochs=1, run=tmp_path)
    Run(options).train()
    assert (len(seen) == 1) == kept
    if kept:
        assert seen == {further[name][0] if name == "betas" else further[name]}
