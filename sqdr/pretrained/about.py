"""What a saved model is about: the part of its folder that the model itself does not know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqdr.validation import argument_error, check_integer, check_number, check_seed


@dataclass(frozen=True, kw_only=True)
class About:
    """What `SQDR_CNN.save_pretrained` is told of a model.

    Args:
        class_names (sequence of str or None): one for each output. Default: None, their numbers.
        image_size (int or None): height and width of the images the model was trained on, to which
            `sqdr predict` and `sqdr evaluate` resize others. Default: None, no resizing.
        data_name (str or None): data set that the model was trained on; one that `sqdr train` knows
            is what `sqdr evaluate` takes. Default: None.
        data_classes (sequence of int): its labels that were kept, in the order of the outputs; all
            if empty, the default.
        data_split_seed (int or None): with which `sqdr train` divided one's own images into training
            and test. Default: None.
        metrics (mapping of mappings): for each split, "test" for instance, the name and value of what
            was measured on it. Default: none.
        training (mapping): how the model was trained, one row of the card's table each. Default: none.
        license (str or None): identifier of the weights' licence, "mit" for instance. Default: None,
            which states none.

    Raises:
        ValueError: if one is of another type, a metric is no finite number, or a text is not one
            printable line.
    """

    class_names: Sequence[str] | None = None
    image_size: int | None = None
    data_name: str | None = None
    data_classes: Sequence[int] = ()
    data_split_seed: int | None = None
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    training: Mapping[str, str | float] = field(default_factory=dict)
    license: str | None = None

    def __post_init__(self) -> None:
        given = {"class_names": self.class_names, "data_classes": self.data_classes}
        for name, value in given.items():
            if value is not None and (isinstance(value, str) or not isinstance(value, Iterable)):
                raise argument_error(name, "be a list", f"is {value!r}")
        classes = [check_integer("data_classes", label, 0) for label in self.data_classes]
        checked: dict[str, Any] = {"data_classes": classes}
        if self.class_names is not None:
            checked["class_names"] = list(self.class_names)
            for class_name in self.class_names:
                _check_line("class_names", class_name)
        if self.image_size is not None:
            checked["image_size"] = check_integer("image_size", self.image_size, 1)
        if self.data_split_seed is not None:
            checked["data_split_seed"] = check_seed("data_split_seed", self.data_split_seed)
        checked["metrics"] = {
            split: dict(_mapping(f"metrics[{split!r}]", values))
            for split, values in _mapping("metrics", self.metrics).items()
        }
        checked["training"] = dict(_mapping("training", self.training))
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        for split, of_split in self.metrics.items():
            _check_line("metrics", split)
            for metric, number in of_split.items():
                _check_line("metrics", metric)
                check_number(metric, number)
        for name, entry in self.training.items():
            _check_line("training", name)
            _check_line("training", str(entry))
        for name in ("data_name", "license"):
            if getattr(self, name) is not None:
                _check_line(name, getattr(self, name))


def _mapping(argument: str, value: Any) -> Mapping[str, Any]:
    """The mapping, an empty one for None; ValueError for anything else."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise argument_error(argument, "be a mapping", f"is {value!r}")
    return value


def _check_line(argument: str, text: str) -> None:
    if not isinstance(text, str) or not text or not text.isprintable():
        raise argument_error(argument, "hold printable texts of one line", f"holds {text!r}")
