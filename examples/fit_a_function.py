"""One wire with ten re-uploading blocks fits a function, with fixed and with trained scaling.

Data re-uploading makes Fourier sums of the data (Schuld et al., PRA 103, 032430). With fixed scaling
their frequencies are whole numbers, so that a fit has the period 2 pi; trained scaling finds others.
Run it with `python examples/fit_a_function.py PICTURE`; it takes seconds.
"""

import math
import sys

import matplotlib
import torch

import sqdr

matplotlib.use("agg")
from matplotlib import pyplot


def fit(scaling: bool, inputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, float]:
    """The fitted values, and their mean squared difference from the targets."""
    torch.manual_seed(0)
    circuit = sqdr.create_circuit("native", n_wires=1, n_blocks=10, encoding="X", scaling=scaling)
    optimizer = torch.optim.Adam(circuit.parameters(), lr=0.03)
    for _ in range(1000):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(circuit(inputs), targets)
        loss.backward()
        optimizer.step()
    return circuit(inputs).detach(), loss.item()


def main(picture: str) -> None:
    inputs = torch.linspace(-math.pi, math.pi, 200).reshape(-1, 1)
    targets = 0.8 * torch.tanh(3 * inputs) * torch.cos(2 * inputs)
    pyplot.figure(figsize=(6, 3.8), dpi=150, layout="constrained")
    pyplot.plot(inputs, targets, color="black", linewidth=3, alpha=0.3, label="function")
    for scaling, style in ((False, ":"), (True, "-")):
        values, error = fit(scaling, inputs, targets)
        label = f"{'trained' if scaling else 'fixed'} scaling, mean squared error {error:.1e}"
        print(label)
        pyplot.plot(inputs, values, style, label=label)
    pyplot.xlabel("x")
    pyplot.ylabel(r"$\langle Z \rangle$")
    pyplot.figlegend(loc="outside lower center", ncols=1)
    pyplot.savefig(picture)


if __name__ == "__main__":
    main(sys.argv[1])
