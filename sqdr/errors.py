"""The exceptions that sqdr raises of its own; each can be sent to another process."""

from typing import Any


class ArgumentError(ValueError):
    """An argument is out of its domain: "Argument `name` must ..., but ...". The caller's fault."""


class MissingPackageError(ImportError):
    """A package that is needed is not installed; the message has the command that installs it.

    Args:
        wanted (str): what needs the package.
        extra (str or None): of the distribution, which brings the package; None if it always does.
        package (str): what is missing.
        distribution (str): Default: "sqdr".
    """

    def __init__(
        self, wanted: str, extra: str | None, package: str, distribution: str = "sqdr"
    ) -> None:
        requirement = f'"{distribution}[{extra}]"' if extra else distribution
        super().__init__(
            f"{wanted} needs the package {package}: pip install {requirement}", name=package
        )
        self._arguments = wanted, extra, package, distribution

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._arguments


class BackendError(ValueError):
    """A backend of another distribution cannot be used; the message names both, and the fault."""


class JobError(RuntimeError):
    """A job of a device failed, was cancelled, or came back short; the message names the device."""
