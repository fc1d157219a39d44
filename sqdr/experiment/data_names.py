"""Names of data sets: those that are built in, and those of other distributions.

Another distribution adds data sets as entry points of the group `sqdr.datasets`, each a function of
`root` (Path) and `download` (bool) that returns training images, test images and the names of the
classes; see `sqdr.experiment.data.sets.load_images`.
"""

from importlib.metadata import EntryPoint, entry_points

from sqdr.validation import argument_error

GROUP = "sqdr.datasets"

#: torchvision's, by the names that they have here.
TORCHVISION = (
    *("mnist", "fashion-mnist", "kmnist", "qmnist"),
    *("emnist-balanced", "emnist-byclass", "emnist-bymerge"),
    *("emnist-digits", "emnist-letters", "emnist-mnist"),
    *("usps", "svhn", "cifar10", "cifar100"),
)
#: One's own images, in a folder for each class.
FOLDER = "folder"
#: scikit-learn's, torchvision's, and one's own.
BUILT_IN = ("digits", *TORCHVISION, FOLDER)


def data_names() -> tuple[str, ...]:
    """Names of all data sets: built-in first, then those of others by name; nothing is imported."""
    others = {entry.name for entry in entry_points(group=GROUP)}
    return (*BUILT_IN, *sorted(others.difference(BUILT_IN)))


def check_data_name(name: str, value: object) -> None:
    """ValueError unless the value is the name of a data set."""
    if value not in data_names():
        raise argument_error(name, f"be one of {', '.join(data_names())}", f"is {value!r}")


def entry_of(name: str) -> EntryPoint:
    """The entry point of a data set that is not built in.

    Raises:
        ValueError: if two distributions have one of this name.
    """
    first, *others = entry_points(group=GROUP, name=name)
    if others:
        both = f"{first.value} and {others[0].value}"
        raise ValueError(f"Data set {name} is registered twice, as {both}; uninstall one of the two")
    return first
