"""The spiking front end: images -> firing rates."""

from sqdr.spiking.codes import N_PHASES, phase_code
from sqdr.spiking.encoder import MIN_IMAGE_SIZE, SpikingEncoder
from sqdr.spiking.layers import Convolution
from sqdr.spiking.neurons import IntegrateAndFire

__all__ = [
    "MIN_IMAGE_SIZE",
    "N_PHASES",
    "Convolution",
    "IntegrateAndFire",
    "SpikingEncoder",
    "phase_code",
]
