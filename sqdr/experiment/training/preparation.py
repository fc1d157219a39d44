"""The data and the model of a training, as options describe them."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

import lightning
from torch import nn

from sqdr.ansatz import FAMILY
from sqdr.experiment.data.sets import ImageData
from sqdr.experiment.options import ModelOptions, RunOptions, build_noise
from sqdr.experiment.training.fine_tuning import take_weights
from sqdr.experiment.training.trainer import quiet
from sqdr.experiment.training.twins import make_twin
from sqdr.model import SQDR_CNN
from sqdr.registry import load_backend
from sqdr.validation import argument_error


class Prepared(NamedTuple):
    """What a training begins with.

    Attributes:
        data: the images.
        model: the classifier.
        has_new_head: whether the head begins anew in a model that has the other weights of `init_from`.
    """

    data: ImageData
    model: SQDR_CNN
    has_new_head: bool


def prepare(options: RunOptions, initialise: bool = True) -> Prepared:
    """The data and the freshly initialised classifier of a run, each checked for what it depends on.

    Random generators are seeded, so that training can follow. With `initialise` the weights are those
    of `init_from`, if it is given.

    Raises:
        As `Run`.
    """
    data = ImageData(options.data)
    with quiet():
        lightning.seed_everything(options.seed, verbose=False)
    model = build_model(options.model, data.in_channels, len(data.class_names))
    if (size := min(data.train.images.shape[2:])) < model.min_image_size:
        must = f"be at least {model.min_image_size} for {len(options.model.channels)} stages"
        raise argument_error("image_size", must, f"is {size}")
    has_new_head = False
    if initialise and options.init_from is not None:
        has_new_head = not take_weights(model, options.init_from, build_model, data)
    return Prepared(data, model, has_new_head)


def build_model(options: ModelOptions, in_channels: int, num_class: int) -> SQDR_CNN:
    """A freshly initialised classifier, or the twin of one."""
    n_outputs = options.ansatz.n_outputs
    if options.head == "none" and num_class != n_outputs:
        raise argument_error(
            "head", f'not be "none" for {num_class} classes', f"the circuit has {n_outputs} outputs"
        )
    model = SQDR_CNN(
        options.T,
        in_channels,
        num_class,
        options.n_wires,
        options.qdr_block,
        options.init_mode,
        options.init_range,
        backend=options.backend,
        noise=build_noise(options.noise),
        width=options.width,
        **options.front_end,
        angle_scale=options.angle_scale,
        head=options.head,
        **options.family,
        **backend_options(options),
    )
    return make_twin(model, options.circuit)


def backend_options(options: ModelOptions) -> dict[str, Any]:
    """What the backend is given beside the circuit.

    Raises:
        ValueError: if it takes no such option, or one is given twice.
    """
    given = {"shots": options.shots, "device": options.device}
    named = {name: value for name, value in given.items() if value is not None}
    backend = load_backend(options.backend)
    classes = [inspect.signature(class_).parameters for class_ in backend.__mro__[:-1]]
    known = {name for parameters in classes for name in parameters} - _OF_MODEL
    for name in (*named, *options.options):
        if name not in known:
            must = f"be left out for backend {options.backend}, which takes {', '.join(sorted(known))}"
            raise argument_error(name, must, "is given")
        if name in named and name in options.options:
            raise argument_error(name, "be given once", "is in `options` too")
    return named | dict(options.options)


#: Parameters of circuits that are options of the model or no options at all.
_OF_MODEL = FAMILY.keys() | {
    *("args", "kwargs", "options", "n_wires", "n_blocks", "noise", "init_mode", "init_range")
}


def count_parameters(model: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
