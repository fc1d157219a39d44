"""How near the noise of a calibration comes to Aer's simulation of the device, for docs/devices.md.

For each snapshot of a device: 9 wires on the best chain, random weights and angles, and the largest
difference of any <Z>, readout included, between the native engine with `NoiseModel.from_qiskit` and
Aer's density matrices of the transpiled circuit with the device's own noise model. Beside it the
difference without noise, and the time of a sample in both.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from qiskit import transpile
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel as AerNoiseModel
from qiskit_ibm_runtime import fake_provider

import sqdr
from sqdr.experiment import tables
from sqdr.noise import Calibration

#: Devices, and their own gates.
SNAPSHOTS = {
    **dict.fromkeys(("FakeTorino", "FakeMarrakesh", "FakeFez", "FakeKingston", "FakeBoston"), "CZ"),
    **dict.fromkeys(("FakeHanoiV2", "FakeMontrealV2"), "CX"),
    **dict.fromkeys(("FakeSherbrooke", "FakeBrisbane"), "ECR"),
}


def aer_values(
    circuit: sqdr.ReuploadCircuit, angles: torch.Tensor, backend: Any, wires: Sequence[int]
) -> NDArray[np.float64]:
    """<Z> of each sample and wire by Aer with the device's noise, readout errors of both directions.

    Returns:
        array of shape (batch, n_wires)
    """
    simulator = AerSimulator(method="density_matrix", noise_model=AerNoiseModel.from_backend(backend))
    n_wires, excited = len(wires), []
    for program in circuit.to_qiskit(angles):
        physical = transpile(program, backend, initial_layout=list(wires), optimization_level=1)
        physical.save_probabilities(list(wires))
        probabilities = simulator.run(physical, shots=1).result().data()["probabilities"]
        bits = np.arange(2**n_wires)[:, None] >> np.arange(n_wires) & 1
        excited.append(probabilities @ bits)
    calibration = Calibration.from_qiskit(backend)
    qubits = [calibration.qubits[wire] for wire in wires]
    one = np.array([qubit.prob_meas1_prep0 for qubit in qubits])
    zero = np.array([qubit.prob_meas0_prep1 for qubit in qubits])
    is_one = np.array(excited)
    return 1 - 2 * ((1 - is_one) * one + is_one * (1 - zero))


def differences(
    snapshot: str, n_wires: int, n_blocks: int, n_samples: int, seed: int = 0
) -> dict[str, float]:
    """Largest differences to Aer, without and with the calibration's noise, and seconds of a sample."""
    backend = getattr(fake_provider, snapshot)()
    wires = Calibration.from_qiskit(backend).best_wires(n_wires)
    torch.manual_seed(seed)
    noise = sqdr.NoiseModel.from_qiskit(backend, wires, n_blocks=n_blocks)
    circuit = sqdr.create_circuit("native", n_wires, n_blocks, noise=noise).double()
    noiseless = sqdr.create_circuit("native", n_wires, n_blocks).double()
    noiseless.load_state_dict(circuit.state_dict(), strict=False)
    angles = 2 * torch.randn(n_samples, circuit.n_features, dtype=torch.float64)
    start = time.perf_counter()
    aer = torch.from_numpy(aer_values(circuit, angles, backend, wires))
    of_aer = (time.perf_counter() - start) / n_samples
    batch = angles.repeat(64 // n_samples + 1, 1)
    seconds = []
    with torch.no_grad():
        for _ in range(5):
            start = time.perf_counter()
            circuit(batch)
            seconds.append((time.perf_counter() - start) / len(batch))
        return {
            "without noise": float((noiseless(angles) - aer).abs().max()),
            "with its noise": float((circuit(angles) - aer).abs().max()),
            "seconds of Aer": of_aer,
            "seconds of native": statistics.median(seconds),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--snapshots", nargs="+", choices=SNAPSHOTS, default=list(SNAPSHOTS))
    parser.add_argument("--wires", type=int, default=9)
    parser.add_argument("--blocks", type=int, nargs="+", default=(2, 3))
    parser.add_argument("--samples", type=int, default=2)
    options = parser.parse_args()
    rows = []
    for snapshot in options.snapshots:
        for n_blocks in options.blocks:
            found = differences(snapshot, options.wires, n_blocks, options.samples)
            rows.append(
                [
                    snapshot,
                    SNAPSHOTS[snapshot],
                    str(n_blocks),
                    f"{found['without noise']:.4f}",
                    f"{found['with its noise']:.4f}",
                    f"{found['seconds of Aer']:.2g}",
                    f"{1e3 * found['seconds of native']:.2g}",
                ]
            )
            print(*rows[-1], flush=True)
    numbers = [
        "blocks",
        "without noise",
        "with the calibration's noise",
        "Aer, seconds a sample",
        "native, milliseconds a sample",
    ]
    print(tables.markdown(["device", "its gate"], numbers, rows))


if __name__ == "__main__":
    main()
