"""sqdr's own engine: exact, batched, differentiable, with noise, needing torch alone."""

from sqdr.backends.native.circuit import NativeCircuit

__all__ = ["NativeCircuit"]
