"""The spiking front end: images -> firing rates."""

from sqdr.spiking.codes import N_PHASES, phase_code
from sqdr.spiking.encoder import FRONT_END, SpikingEncoder, checked_front_end, smallest_image
from sqdr.spiking.layers import Convolution
from sqdr.spiking.neurons import IntegrateAndFire

__all__ = [
    "FRONT_END",
    "N_PHASES",
    "Convolution",
    "IntegrateAndFire",
    "SpikingEncoder",
    "checked_front_end",
    "phase_code",
    "smallest_image",
]
