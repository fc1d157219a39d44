"""Operations of an inference and the energy they would take: estimates by SpikingJelly's counters.

The energies are SpikingJelly's defaults, for 32-bit floating point in 45 nm CMOS: 0.9 pJ for an
addition and 4.6 pJ for a multiplication with an addition (Horowitz, ISSCC 2014, doi
10.1109/ISSCC.2014.6757323), and 3.12 pJ for each bit read from or written to memory (as in STEP,
openreview SzwU2XrXIS).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from spikingjelly.activation_based import neuron
from spikingjelly.activation_based.op_counter import (
    DispatchCounterMode,
    MACCounter,
    ModuleCounterMode,
    NeuromorphicMemoryAccessCounter,
    SimpleEnergyCostConfig,
    SynOpCounter,
)
from torch import Tensor, nn

_COSTS = SimpleEnergyCostConfig.fp32()


class Operations(NamedTuple):
    """How often something is done; sums over images, or a mean of them.

    Attributes:
        synops: synaptic operations, additions of a weight that a spike causes.
        macs: multiply-accumulate operations, where an input is no spike.
        parameter_bytes: weights and biases read.
        state_bytes: membrane potentials read and written, each once in a time step.
    """

    synops: float = 0
    macs: float = 0
    parameter_bytes: float = 0
    state_bytes: float = 0

    def plus(self, other: Operations) -> Operations:
        """The operations of both."""
        return Operations(*(one + another for one, another in zip(self, other, strict=True)))

    def per_image(self, n_images: int) -> Operations:
        """The mean over so many images."""
        return Operations(*(number / n_images for number in self))

    def energies(self) -> Operations:
        """The energy of each kind of operation, in pJ."""
        return Operations(*(number * cost for number, cost in zip(self, ENERGIES, strict=True)))


#: Energy of one operation of each kind, or of one byte, in pJ.
ENERGIES = Operations(
    _COSTS.e_ac_pj, _COSTS.e_mac_pj, _COSTS.e_memory_pj_per_byte, _COSTS.e_memory_pj_per_byte
)


def count_operations(module: nn.Module, inputs: Tensor) -> Operations:
    """The operations of a layer for these inputs.

    Args:
        module (nn.Module): a convolution, a linear layer or neurons of the spiking front end, or the
            classical layers after it.
        inputs (Tensor): what the layer is called with.
    """
    if isinstance(module, neuron.BaseNode):
        # A neuron with memory in its place, whose potentials SpikingJelly finds.
        module = neuron.IFNode(step_mode="m")
    synops, macs, memory = SynOpCounter(), MACCounter(), NeuromorphicMemoryAccessCounter()
    modes = ModuleCounterMode([memory], model=module), DispatchCounterMode([synops, macs])
    with torch.no_grad(), modes[0], modes[1]:
        module(inputs.detach())
    accesses = memory.get_counts().get("Global", {})
    return Operations(
        synops.get_total(),
        macs.get_total(),
        accesses.get("weight_read_bytes", 0) + accesses.get("bias_read_bytes", 0),
        accesses.get("neuron_state_read_bytes", 0) + accesses.get("neuron_state_write_bytes", 0),
    )
