"""What only the TorchQuantum backend has: refusal of what does not fit in memory."""

import pytest
import torch

import sqdr

NOISE = sqdr.NoiseModel((sqdr.BitFlip(0.1),))


@pytest.mark.parametrize(
    ("n_wires", "noise", "method"), [(24, NOISE, "density-matrix"), (48, None, "statevector")]
)
def test_a_circuit_beyond_memory_is_refused(n_wires, noise, method):
    message = f"`n_wires` must be smaller, but one sample needs .* bytes with the {method} method"
    with pytest.raises(ValueError, match=message):
        sqdr.create_circuit("torchquantum", n_wires, 2, noise=noise)


@pytest.mark.parametrize("noise", [NOISE, None], ids=["noisy", "noiseless"])
def test_a_batch_beyond_memory_is_refused(noise):
    circuit = sqdr.create_circuit("torchquantum", 8, 2, noise=noise)
    with pytest.raises(ValueError, match=r"`angles` must hold at most .* samples at a time"):
        circuit(torch.zeros(1, 24).expand(10**10, 24))


def test_readout_error_alone_keeps_the_statevector():
    circuit = sqdr.create_circuit("torchquantum", 20, 1, noise=sqdr.NoiseModel(readout_error=0.1))
    with torch.no_grad():
        circuit.weights.zero_()
    values = circuit(torch.zeros(60))
    torch.testing.assert_close(values, torch.full((20,), 0.8), rtol=0, atol=1e-6)
