"""The published package's import name, so that code written for it runs on sqdr unchanged."""

from sqdr import SQDR_CNN

__all__ = ["SQDR_CNN"]
