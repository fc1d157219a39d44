"""Derivatives of expectation values by strengths of noise, as sums of values at other strengths."""

import math


def rule_of_damping(gamma: float) -> list[tuple[float, float]]:
    """The derivative by the strength of a damping channel.

    <Z> is a + b gamma + c sqrt(1 - gamma), so three values give b and c. Finite differences would
    divide the noise of shots by a tiny step instead. The slope of the root at gamma = 1, which is
    infinite, counts as 0.

    Args:
        gamma (float): strength in [0, 1] at which to differentiate.

    Returns:
        list of pairs of floats: (coefficient, strength) of each value.
    """
    left = 1 - gamma
    slope = 1 / (2 * math.sqrt(left)) if left > 0 else 0.0
    return [(slope - 2, 0.0), (4 - 4 * slope, 0.75), (3 * slope - 2, 1.0)]


#: The derivative by a strength that expectation values are linear in, likewise.
RULE_OF_LINEAR = [(-1.0, 0.0), (1.0, 1.0)]
