"""tensorcircuit-ng on JAX: a statevector, or with noise or many wires a network for each <Z>."""

from typing import Any

import jax
import numpy as np
import tensorcircuit
from case import AMPLITUDE_DAMPING, BIT_FLIP, DEPOLARIZING, Case, Step
from peers.jax_step import jax_step

MAX_WIRES_OF_STATE = 10


def create_step(case: Case) -> Step:
    """Each in its fastest way when this was written.

    With noise that is DMCircuit2 with reuse=False, which contracts the network of each <Z>; the dense
    state took 50 times as long. Without noise it is the state up to about ten wires, and beyond, each
    <Z> in its light cone.
    """
    tensorcircuit.set_backend("jax")
    tensorcircuit.set_dtype("complex128" if case.dtype == "float64" else "complex64")
    gates, channels = tensorcircuit.gates, tensorcircuit.channels
    bit_flip = [
        gates.Gate(np.sqrt(1 - BIT_FLIP) * np.eye(2, dtype=np.complex64)),
        gates.Gate(np.sqrt(BIT_FLIP) * np.array([[0, 1], [1, 0]], dtype=np.complex64)),
    ]
    depolarizing = channels.generaldepolarizingchannel(DEPOLARIZING / 3)
    damping = channels.amplitudedampingchannel(gamma=AMPLITUDE_DAMPING, p=1.0)

    def rot(circuit: Any, wire: int, angles: Any) -> None:
        circuit.rz(wire, theta=angles[0])
        circuit.ry(wire, theta=angles[1])
        circuit.rz(wire, theta=angles[2])

    contraction: dict[str, Any] = {}
    if case.noisy or case.n_wires > MAX_WIRES_OF_STATE:
        contraction = {"reuse": False} | ({} if case.noisy else {"enable_lightcone": True})

    def values_of_sample(angles: Any, weights: Any) -> Any:
        circuit = (tensorcircuit.DMCircuit2 if case.noisy else tensorcircuit.Circuit)(case.n_wires)
        for block in range(case.n_blocks):
            for wire in range(case.n_wires):
                rot(circuit, wire, angles[3 * wire : 3 * wire + 3])
                rot(circuit, wire, weights[block, wire])
                for kraus in (bit_flip, depolarizing, damping) if case.noisy else ():
                    circuit.general_kraus(kraus, wire)
            if block < case.n_blocks - 1:
                for pair in case.pairs:
                    circuit.cz(*pair)
        z = [circuit.expectation((gates.z(), [wire]), **contraction) for wire in range(case.n_wires)]
        return jax.numpy.real(jax.numpy.stack(z))

    return jax_step(case, values_of_sample)
