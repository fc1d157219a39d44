"""What a saved model is about: the part of its folder that the model itself does not know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqdr.validation import argument_error, check_number


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
        ValueError: if a metric is no finite number, or a text of metrics, training or license is not
            one printable line.
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
        for name in ("metrics", "training"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, {})
        for split, values in self.metrics.items():
            _check_line("metrics", split)
            for metric, value in values.items():
                _check_line("metrics", metric)
                check_number(metric, value)
        for name, entry in self.training.items():
            _check_line("training", name)
            _check_line("training", str(entry))
        if self.license is not None:
            _check_line("license", self.license)


def _check_line(argument: str, text: str) -> None:
    if not isinstance(text, str) or not text or not text.isprintable():
        raise argument_error(argument, "hold printable texts of one line", f"holds {text!r}")
