"""Sizes that no real model comes near; products of them still fit into 64 bits."""

#: Of the arguments of `SQDR_CNN`.
MAX_ARGUMENTS = {
    "T": 10_000,
    "in_channels": 1_000,
    "num_class": 100_000,
    "n_wires": 100_000,
    "qdr_block": 100_000,
    "width": 1_000,
}
#: Wires of a circuit, its blocks, and whatever else is counted: epochs, images of a batch.
MAX_SIZE = 10**9
#: Learning rate, with which the numbers of an optimizer are still some of single precision.
MAX_RATE = 1e30
#: Wires of which every pair can be entangled.
MAX_FULL = 2_000
#: Measurements of a circuit; torch counts them in float64.
MAX_SHOTS = 10**15
#: Height and width of an image.
MAX_IMAGE_SIZE = 10_000
