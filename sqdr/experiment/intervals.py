"""Means over seeds and how well they are known."""

import math
import statistics
from collections.abc import Sequence

from scipy.stats import t

#: An interval of fewer values is so wide that it misleads: of two it is 13 times their distance.
MIN_FOR_INTERVAL = 3


def mean_and_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Mean and half the width of its confidence interval, by Student's t distribution.

    Args:
        values (sequence of float): independent results, for instance one for each seed.
        confidence (float): probability that such an interval holds the true mean. Default: 0.95.

    Returns:
        (float, float): the half width is NaN for a single value, which says nothing about the spread;
            both are NaN for no value.
    """
    if not values:
        return math.nan, math.nan
    mean = statistics.fmean(values)
    if len(values) == 1:
        return mean, math.nan
    quantile = float(t.ppf((1 + confidence) / 2, df=len(values) - 1))
    return mean, quantile * statistics.stdev(values) / math.sqrt(len(values))
