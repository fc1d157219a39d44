"""Kernels of a stage of the spiking front end: convolution, batch normalisation, neurons and pooling.

Samples are the lanes of vectors, so that each pixel is one vector, wherever it lies. The arrays:

    images    (tiles, 1, channels, height, width, lanes): grey levels, 0 to 255
    inputs    (tiles, T, channels, height + 2, width + 2, lanes): spikes within a frame of zeros
    currents  (tiles, channels, height, P, width, lanes)
    outputs   (tiles, T, channels, height // 2 + 2, width // 2 + 2, lanes): the inputs of the next stage

An odd height or width has one more row or column of frame at its end, so that squares of 2 x 2 pixels
cover all. P is the number of time steps that differ: T, or at most 8 where the inputs are the bits of
an image, which come again and again. A kernel gets the tiles of one thread; it adds to what it sums up.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sqdr.compilation import kernel
from sqdr.vectors import (
    below,
    fires,
    larger,
    load,
    round_down,
    spread,
    store,
    total,
    widen,
    zeros_of,
)

Array = Any


@kernel
def convolve(inputs: Array, is_image: bool, weight: Array, plane: Array, currents: Array) -> None:
    """Currents that spikes cause, or the bits of images, the most significant bit first.

    Args:
        weight: (out, in, 3, 3).
        plane: zeros, inputs of one tile and time step.
    """
    for k in range(currents.shape[0]):
        for p in range(currents.shape[3]):
            if is_image:
                _bits(inputs[k, 0], p, plane)
                framed = plane
            else:
                framed = inputs[k, p]
            _convolve(framed, weight, currents[k, :, :, p])


@kernel
def add_moments(currents: Array, repeats: Array, sums: Array) -> None:
    """Add up the currents of each channel and their squares: sums (channels, 2), in double precision.

    Time step p counts `repeats[p]` times.
    """
    zero = widen(zeros_of(currents))
    for k in range(currents.shape[0]):
        for c in range(currents.shape[1]):
            for y in range(currents.shape[2]):
                for p in range(currents.shape[3]):
                    first, second = zero, zero
                    for x in range(currents.shape[4]):
                        current = widen(load(currents, (k, c, y, p, x)))
                        first = first + current
                        second = second + current * current
                    sums[c, 0] += repeats[p] * total(first)
                    sums[c, 1] += repeats[p] * total(second)


@kernel
def fire(
    currents: Array, scale: Array, shift: Array, neuron: Array, present: Array, outputs: Array
) -> None:
    """Pooled spikes of neurons whose currents are scaled and shifted.

    Args:
        scale, shift: of each channel.
        neuron: decay and threshold of the potentials.
        present: (tiles, lanes), 1 where a lane holds a sample, else 0.
    """
    decay, threshold, zero = spread(neuron[0]), spread(neuron[1]), zeros_of(currents)
    T, P = outputs.shape[1], currents.shape[3]
    for k in range(currents.shape[0]):
        for t in range(T):
            _clear_frame(outputs[k, t], currents.shape[2] // 2, currents.shape[4] // 2)
        here = load(present, (k,))
        for c in range(currents.shape[1]):
            a, b = spread(scale[c]), spread(shift[c])
            for y in range(currents.shape[2] // 2):
                for x in range(currents.shape[4] // 2):
                    for corner in range(4):
                        i, j = 2 * y + corner // 2, 2 * x + corner % 2
                        p, v = 0, zero
                        for t in range(T):
                            h = decay * v + (a * load(currents, (k, c, i, p, j)) + b)
                            v = below(h, threshold)
                            pooled = here * fires(h, threshold)
                            if corner > 0:
                                pooled = larger(load(outputs, (k, t, c, y + 1, x + 1)), pooled)
                            store(outputs, (k, t, c, y + 1, x + 1), pooled)
                            p = p + 1 if p + 1 < P else 0


@kernel
def fire_backward(
    currents: Array,
    scale: Array,
    shift: Array,
    mean: Array,
    neuron: Array,
    grad_outputs: Array,
    grad_currents: Array,
    sums: Array,
) -> None:
    """Gradients of the scaled and shifted currents, from those of the outputs.

    Potentials are computed anew. A pooling hands its gradient to the first of its neurons that fires,
    or to the first if none does, as PyTorch's does.

    Args:
        mean: of the currents of each channel.
        neuron: decay and threshold of the potentials, height and slope of the surrogate gradient
            height / (1 + (slope (h - threshold))^2).
        grad_currents: as currents, to be filled where outputs depend on them.
        sums: (channels, 2), of the gradients and of their products with currents - mean.
    """
    decay, threshold, zero = spread(neuron[0]), spread(neuron[1]), zeros_of(currents)
    height, slope, one = spread(neuron[2]), spread(neuron[3]), spread(currents.dtype.type(1))
    T, P = grad_outputs.shape[1], currents.shape[3]
    potentials = np.empty((4, T, currents.shape[5]), currents.dtype)
    shares = np.empty((4, T, currents.shape[5]), currents.dtype)
    for k in range(currents.shape[0]):
        for c in range(currents.shape[1]):
            a, b, centre = spread(scale[c]), spread(shift[c]), spread(mean[c])
            for y in range(currents.shape[2] // 2):
                first, second = zero, zero
                for x in range(currents.shape[4] // 2):
                    for corner in range(4):
                        i, j = 2 * y + corner // 2, 2 * x + corner % 2
                        p, v = 0, zero
                        for t in range(T):
                            h = decay * v + (a * load(currents, (k, c, i, p, j)) + b)
                            v = below(h, threshold)
                            store(potentials, (corner, t), h)
                            p = p + 1 if p + 1 < P else 0
                    for t in range(T):
                        rest = load(grad_outputs, (k, t, c, y + 1, x + 1))
                        for corner in range(4):
                            share = rest * fires(load(potentials, (corner, t)), threshold)
                            store(shares, (corner, t), share)
                            rest = rest - share
                        store(shares, (0, t), load(shares, (0, t)) + rest)
                    for corner in range(4):
                        i, j = 2 * y + corner // 2, 2 * x + corner % 2
                        p, grad_v = (T - 1) % P, zero
                        for t in range(T - 1, -1, -1):
                            h = load(potentials, (corner, t))
                            distance = slope * (h - threshold)
                            surrogate = height / (one + distance * distance)
                            grad_h = (load(shares, (corner, t)) - grad_v * h) * surrogate
                            grad_h = grad_h + (grad_v - grad_v * fires(h, threshold))
                            grad_v = decay * grad_h
                            first = first + grad_h
                            second = second + grad_h * (load(currents, (k, c, i, p, j)) - centre)
                            if t + P < T:
                                grad_h = grad_h + load(grad_currents, (k, c, i, p, j))
                            store(grad_currents, (k, c, i, p, j), grad_h)
                            p = p - 1 if p > 0 else P - 1
                sums[c, 0] += total(first)
                sums[c, 1] += total(second)


@kernel
def convolve_backward(
    inputs: Array,
    is_image: bool,
    flipped: Array,
    currents: Array,
    grad_currents: Array,
    normalisation: Array,
    repeats: Array,
    present: Array,
    plane: Array,
    grads: Array,
    grad_weight: Array,
    grad_inputs: Array,
    wanted: tuple[bool, bool],
) -> None:
    """Gradients of weight and inputs through batch normalisation and convolution.

    Args:
        flipped: the weight (in, out, 3, 3), each plane turned by 180 degrees.
        grad_currents: of the normalised currents.
        normalisation: see `_through_normalisation`.
        plane, grads: zeros, inputs and framed currents of one tile and time step.
        grad_weight: (out, in, 9), to which its gradient is added.
        grad_inputs: as inputs, of spikes.
        wanted: whether the gradient of the weight is, and that of the inputs.
    """
    height, width = currents.shape[2], currents.shape[4]
    for k in range(currents.shape[0]):
        here = present[k]
        for p in range(currents.shape[3]):
            c, g = currents[k, :, :, p], grad_currents[k, :, :, p]
            _through_normalisation(c, g, normalisation, repeats[p], here, grads)
            if wanted[0]:
                if is_image:
                    _bits(inputs[k, 0], p, plane)
                    framed = plane
                else:
                    framed = inputs[k, p]
                _correlate(framed, grads, grad_weight)
            if wanted[1]:
                _clear_frame(grad_inputs[k, p], height, width)
                _convolve(grads, flipped, grad_inputs[k, p, :, 1 : height + 1, 1 : width + 1])


@kernel
def _clear_frame(framed: Array, height: int, width: int) -> None:
    """Make all zeros but (channels, height, width) pixels within the frame."""
    zero = zeros_of(framed)
    for c in range(framed.shape[0]):
        for y in range(framed.shape[1]):
            within = 1 <= y <= height
            for x in range(framed.shape[2]):
                if not (within and 1 <= x <= width):
                    store(framed, (c, y, x), zero)


@kernel
def _bits(images: Array, p: int, plane: Array) -> None:
    """Bit 7 - p of grey levels (channels, height, width, lanes), into a frame."""
    dtype = images.dtype.type
    place, half, two = spread(dtype(0.5 ** (7 - p))), spread(dtype(0.5)), spread(dtype(2))
    for c in range(images.shape[0]):
        for y in range(images.shape[1]):
            for x in range(images.shape[2]):
                number = round_down(place * load(images, (c, y, x)))
                store(plane, (c, y + 1, x + 1), number - two * round_down(half * number))


@kernel
def _convolve(framed: Array, weight: Array, out: Array) -> None:
    """Convolution (in, height + 2.., width + 2.., lanes) -> (out, height, width, lanes).

    Two channels of 2 x 2 pixels at a time, which registers hold.
    """
    channels, height, width = out.shape[0], out.shape[1], out.shape[2]
    zero = zeros_of(framed)
    for c in range(0, channels, 2):
        d = min(c + 1, channels - 1)  # the same once more if there is no other
        for y in range(0, height, 2):
            for x in range(0, width, 2):
                a0, a1, a2, a3 = zero, zero, zero, zero
                b0, b1, b2, b3 = zero, zero, zero, zero
                for k in range(framed.shape[0]):
                    for i in range(3):
                        j = y + i
                        p0, p1 = load(framed, (k, j, x)), load(framed, (k, j, x + 1))
                        p2, p3 = load(framed, (k, j, x + 2)), load(framed, (k, j, x + 3))
                        q0, q1 = load(framed, (k, j + 1, x)), load(framed, (k, j + 1, x + 1))
                        q2, q3 = load(framed, (k, j + 1, x + 2)), load(framed, (k, j + 1, x + 3))
                        w0, w1 = spread(weight[c, k, i, 0]), spread(weight[c, k, i, 1])
                        w2 = spread(weight[c, k, i, 2])
                        a0 = a0 + w0 * p0 + w1 * p1 + w2 * p2
                        a1 = a1 + w0 * p1 + w1 * p2 + w2 * p3
                        a2 = a2 + w0 * q0 + w1 * q1 + w2 * q2
                        a3 = a3 + w0 * q1 + w1 * q2 + w2 * q3
                        w0, w1 = spread(weight[d, k, i, 0]), spread(weight[d, k, i, 1])
                        w2 = spread(weight[d, k, i, 2])
                        b0 = b0 + w0 * p0 + w1 * p1 + w2 * p2
                        b1 = b1 + w0 * p1 + w1 * p2 + w2 * p3
                        b2 = b2 + w0 * q0 + w1 * q1 + w2 * q2
                        b3 = b3 + w0 * q1 + w1 * q2 + w2 * q3
                store(out, (c, y, x), a0)
                store(out, (d, y, x), b0)
                if x + 1 < width:
                    store(out, (c, y, x + 1), a1)
                    store(out, (d, y, x + 1), b1)
                if y + 1 < height:
                    store(out, (c, y + 1, x), a2)
                    store(out, (d, y + 1, x), b2)
                if x + 1 < width and y + 1 < height:
                    store(out, (c, y + 1, x + 1), a3)
                    store(out, (d, y + 1, x + 1), b3)


@kernel
def _through_normalisation(
    currents: Array, grads: Array, normalisation: Array, n: Any, present: Array, framed: Array
) -> None:
    """Gradients of currents, from those of normalised currents, (channels, height, width, lanes).

    Args:
        normalisation: (channels, 4), rows a, b, c, mean: the gradient of a current x is
            a (grad - b - c (x - mean)), all over the time steps that are the same.
        n: number of these time steps.
        framed: where the gradients go.
    """
    here = load(present, ())
    for c in range(currents.shape[0]):
        a, b = here * spread(normalisation[c, 0]), spread(n * normalisation[c, 1])
        slope, mean = spread(n * normalisation[c, 2]), spread(normalisation[c, 3])
        for y in range(currents.shape[1]):
            for x in range(currents.shape[2]):
                centred = load(currents, (c, y, x)) - mean
                grad = a * (load(grads, (c, y, x)) - b - slope * centred)
                store(framed, (c, y + 1, x + 1), grad)


@kernel
def _correlate(inputs: Array, grads: Array, grad_weight: Array) -> None:
    """Add the gradient of the weight, (out, in, 9), from framed inputs and gradients of currents."""
    zero = zeros_of(grads)
    for c in range(grads.shape[0]):
        for k in range(inputs.shape[0]):
            s0, s1, s2, s3, s4, s5, s6, s7, s8 = zero, zero, zero, zero, zero, zero, zero, zero, zero
            for y in range(grads.shape[1] - 2):
                for x in range(grads.shape[2] - 2):
                    grad = load(grads, (c, y + 1, x + 1))
                    s0 = s0 + grad * load(inputs, (k, y, x))
                    s1 = s1 + grad * load(inputs, (k, y, x + 1))
                    s2 = s2 + grad * load(inputs, (k, y, x + 2))
                    s3 = s3 + grad * load(inputs, (k, y + 1, x))
                    s4 = s4 + grad * load(inputs, (k, y + 1, x + 1))
                    s5 = s5 + grad * load(inputs, (k, y + 1, x + 2))
                    s6 = s6 + grad * load(inputs, (k, y + 2, x))
                    s7 = s7 + grad * load(inputs, (k, y + 2, x + 1))
                    s8 = s8 + grad * load(inputs, (k, y + 2, x + 2))
            sums = grad_weight[c, k]
            sums[0] += total(s0)
            sums[1] += total(s1)
            sums[2] += total(s2)
            sums[3] += total(s3)
            sums[4] += total(s4)
            sums[5] += total(s5)
            sums[6] += total(s6)
            sums[7] += total(s7)
            sums[8] += total(s8)
