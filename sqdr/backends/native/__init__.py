"""sqdr's own engine: exact, batched, differentiable, with noise.

Each method has two evaluations: by operations of torch, everywhere, and by kernels that Numba compiles,
for values and first gradients on the CPU. `kernels.problem()` says why there are none, if so.
"""

from sqdr.backends.native.circuit import NativeCircuit

__all__ = ["NativeCircuit"]
