"""What members of the family of circuits cost on the native engine, beside the published one.

`python benchmarks/members.py` prints a Markdown table: milliseconds of a forward and a backward pass in
single precision on one thread, the median of steps that are taken in turns, and that of the published
circuit of as many wires and blocks.
"""

import random
import statistics
import time

import torch
from case import NOISE

import sqdr

WIRES, BATCH, ROUNDS = 9, 64, 60
MEMBERS = {
    "published": {},
    "XYX, ZXZ": {"encoding": "XYX", "rotation": "ZXZ"},
    "split inputs": {"inputs": "split"},
    "trained scaling": {"scaling": True},
    "X of every wire": {"observables": "X"},
    "Z and X of every wire": {"observables": [f"{p}{i}" for p in "ZX" for i in range(WIRES)]},
    "ZZ": {"entangler": "ZZ"},
    "every pair": {"entanglement": "full"},
    "Z Z of neighbours": {"observables": [f"Z{i} Z{i + 1}" for i in range(WIRES - 1)]},
}
#: A Hadamard gate with the probability 0.2, as Kraus operators.
HADAMARD = sqdr.Kraus([[[0.8**0.5, 0], [0, 0.8**0.5]], [[0.1**0.5, 0.1**0.5], [0.1**0.5, -(0.1**0.5)]]])
#: Where there is noise at all.
NOISY_MEMBERS = {
    "Kraus": {"noise": sqdr.NoiseModel((*NOISE.after_rotation, HADAMARD))},
    "noise on pairs": {
        "noise": sqdr.NoiseModel(NOISE.after_rotation, (sqdr.TwoWireDepolarizing(0.01),))
    },
}


def main() -> None:
    torch.set_num_threads(1)
    shuffle = random.Random(0)
    print("| member | blocks | noise | method | ms | times the published one |")
    print("|---|---|---|---|---|---|")
    for n_blocks in (2, 3):
        for noise in (None, NOISE):
            steps = {
                name: Step(sqdr.create_circuit("native", WIRES, n_blocks, **{"noise": noise} | options))
                for name, options in (MEMBERS | (NOISY_MEMBERS if noise else {})).items()
            }
            for _ in range(ROUNDS):
                # In another order each time, since some leave caches in worse a state than others.
                for step in shuffle.sample(list(steps.values()), len(steps)):
                    step()
            published = steps["published"].median()
            for name, step in steps.items():
                cells = name, n_blocks, "yes" if noise else "no", step.circuit.method
                ratio = f"{step.median() / published:.2f}"
                print("|", " | ".join(map(str, (*cells, f"{1e3 * step.median():.2f}", ratio))), "|")


class Step:
    """Forward and backward pass of a circuit, which keeps the seconds that it took."""

    def __init__(self, circuit: sqdr.ReuploadCircuit) -> None:
        self.circuit = circuit
        self._angles = torch.rand(BATCH, circuit.n_features, requires_grad=True)
        self._seconds: list[float] = []
        for _ in range(3):
            self()
        self._seconds.clear()

    def __call__(self) -> None:
        self.circuit(self._angles).sum()  # what came before has left the caches
        start = time.perf_counter()
        self.circuit(self._angles).sum().backward()
        self._seconds.append(time.perf_counter() - start)

    def median(self) -> float:
        return statistics.median(self._seconds)


if __name__ == "__main__":
    main()
