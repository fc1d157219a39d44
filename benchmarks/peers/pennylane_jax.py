"""PennyLane on JAX: default.qubit, or default.mixed with noise, jitted with its gradient."""

import jax
from case import Case, Step
from peers.jax_step import jax_step
from peers.pennylane_qnode import create_qnode


def create_step(case: Case) -> Step:
    """A QNode of one sample, vectorised by JAX."""
    qnode = create_qnode(case, "jax")
    return jax_step(case, lambda angles, weights: jax.numpy.stack(qnode(angles, weights)))
