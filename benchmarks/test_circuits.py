"""Forward and backward pass of a circuit by one engine, beside another: one test a comparison.

Values and gradients are compared with the native engine's in double precision before anything is timed.
"""

from dataclasses import replace
from itertools import product

import pytest
from case import Case
from comparison import compare
from engines import COMPILED, LINEAR, METHODS, NATIVE, ONE_THREAD, OPERATIONS, engine

NOISES = (False, True)
TWO, NOISY_TWO = (Case(9, 2, 16, noisy) for noisy in NOISES)
RING_TWO = replace(TWO, entanglement="circular")
FOUR, NOISY_FOUR = (Case(9, 4, 16, noisy) for noisy in NOISES)
HUNDRED, THOUSAND = (Case(n_wires, 2, 64, noisy=True) for n_wires in (100, 1000))
SQDR = ("torchquantum", "pennylane")
#: In environments of their own.
PEERS = ("tensorcircuit-ng", "deepquantum", "pyqtorch", "torq-quantum", "pennylane-jax", "jax-scan")
JITTED = ("tensorcircuit-ng", "pennylane-jax")

#: Few wires and many blocks, as most re-uploading models are.
DEEP = [
    Case(n_wires, n_blocks, batch, noisy=False)
    for n_wires, n_blocks, batch in (
        (2, 10, 64),
        (4, 10, 32),
        (6, 10, 32),
        (9, 8, 16),
        (10, 12, 16),
        (12, 8, 16),
    )
]
#: Of the native engine, with kernels and without.
OF_KERNELS = [
    *(replace(case, noisy=True) for case in DEEP[1:3]),
    Case(1000, 2, 64, noisy=True),
    Case(1000, 4, 16, noisy=True),
]
#: Where one method becomes faster than another.
OF_METHODS = [
    Case(n_wires, n_blocks, 16, noisy)
    for noisy, sizes in (
        (False, ((4, 3), (4, 4), (6, 4), (6, 5), (9, 4), (9, 5), (9, 6), (12, 6))),
        (True, ((3, 3), (3, 4), (4, 4), (4, 5), (5, 5), (6, 6))),
    )
    for n_wires, n_blocks in sizes
]
#: Samples enough for several threads.
OF_THREADS = [Case(9, 2, 256, noisy=True), Case(9, 4, 256, noisy=False), Case(9, 4, 256, noisy=True)]
#: (what is timed, what it is compared with): each an engine and a case.
SHORT = [
    ((NATIVE, TWO), ("torchquantum", TWO)),
    ((COMPILED, TWO), ("torchquantum", TWO)),
    ((NATIVE, NOISY_TWO), ("torchquantum", NOISY_TWO)),
    ((NATIVE, TWO), ("pennylane", TWO)),
    ((COMPILED, TWO), ("pennylane", TWO)),
    ((NATIVE, NOISY_TWO), (NATIVE, TWO)),
    ((COMPILED, NOISY_TWO), (NATIVE, NOISY_TWO)),
    ((NATIVE, NOISY_FOUR), ("torchquantum", FOUR)),
    ((NATIVE, HUNDRED), (NATIVE, THOUSAND)),
    *(((name, case), (LINEAR, case)) for name in (NATIVE, COMPILED) for case in (TWO, NOISY_TWO)),
    *(((name, TWO), (LINEAR, TWO)) for name in SQDR),
    ((NATIVE, Case(1000, 4, 16, noisy=True)), (LINEAR, TWO)),
]
FULL = [
    ((NATIVE, NOISY_TWO), ("pennylane", NOISY_TWO)),
    ((NATIVE, TWO), ("pennylane-lightning", TWO)),
    ((NATIVE, TWO), ("published-pennylane", TWO)),
    ((NATIVE, NOISY_TWO), ("published-pennylane", NOISY_TWO)),
    ((NATIVE, RING_TWO), ("published-torchquantum", RING_TWO)),
    ((COMPILED, NOISY_FOUR), (NATIVE, NOISY_FOUR)),
    *(((NATIVE, case), (OPERATIONS, case)) for case in OF_KERNELS),
    *(((NATIVE, case), (ONE_THREAD, case)) for case in OF_THREADS),
    *(((METHODS[0], case), (METHODS[1], case)) for case in OF_METHODS),
]
#: Growth of the native engine, against a yardstick that stays the same.
SHORT_GROWTH = [
    *(Case(n, 2, 16, noisy) for noisy in NOISES for n in (2, 4, 9, 30, 100, 300, 1000, 3000, 10000)),
    *(Case(30, blocks, 16, noisy=True) for blocks in (2, 3, 4, 5, 6)),
    *(Case(100, 2, batch, noisy=True) for batch in (16, 64, 256, 1024, 4096)),
]
COMPILED_GROWTH = [Case(n, 2, 16, noisy=True) for n in (9, 100, 1000, 10000)]
#: Growth of the others with the wires, without noise and with it.
WIRES = {False: (3, 6, 9, 12, 14, 16), True: (2, 4, 6)}
SHORT_WIRES = {False: (3, 6, 9, 12), True: (2, 4)}
JITTED_WIRES = {False: (3, 6, 12), True: (2, 4, 6)}  # each takes long to compile
PUBLISHED_WIRES = {False: (3, 6), True: (2, 4, 6)}
BLOCKS = [Case(9, blocks, 16, noisy=False) for blocks in (2, 4, 8, 16, 32)]
BATCHES = [Case(9, 2, batch, noisy=False) for batch in (16, 64, 256, 1024)]
GRID = [
    Case(n_wires, n_blocks, batch, noisy, dtype)
    for n_wires, n_blocks, batch, noisy, dtype in product(
        (3, 5), (2, 4), (8, 256), NOISES, ("float32", "float64")
    )
]


def comparisons(peer, full):
    """Those of one peer; or without one those of sqdr's own engines, all or the short set.

    Returns:
        dict: from a pair, as above, to the group of tables that it belongs to.
    """
    circuits, growth, grid = [], [], []
    if peer == "jax-scan":
        circuits += beside(peer, DEEP)
        growth += beside(peer, BLOCKS)
    elif peer:
        circuits += beside(peer, (TWO, NOISY_TWO, FOUR))
        if peer in JITTED:
            circuits += [((COMPILED, case), (peer, case)) for case in (TWO, NOISY_TWO)]
            circuits.append(((NATIVE, NOISY_FOUR), (peer, FOUR)))
        growth += beside(peer, wires_of(JITTED_WIRES if peer in JITTED else WIRES))
    else:
        circuits += SHORT + FULL * full
        growth += [((NATIVE, case), (LINEAR, TWO)) for case in SHORT_GROWTH + BLOCKS]
        of_others = wires_of(WIRES) + BLOCKS + BATCHES if full else wires_of(SHORT_WIRES)
        growth += [pair for name in SQDR for pair in beside(name, of_others)]
        if full:
            growth += [((COMPILED, case), (LINEAR, TWO)) for case in COMPILED_GROWTH]
            growth += beside("published-pennylane", wires_of(PUBLISHED_WIRES))
            grid += [pair for name in SQDR for pair in beside(name, GRID)]
    chosen = {}
    for group, pairs in {"circuit": circuits, "growth": growth, "grid": grid}.items():
        for pair in pairs:
            chosen.setdefault(pair, group)
    return chosen


def beside(peer, cases):
    """The native engine beside another one, on each case."""
    return [((NATIVE, case), (peer, case)) for case in cases]


def wires_of(sizes):
    return [Case(n_wires, 2, 16, noisy) for noisy in NOISES for n_wires in sizes[noisy]]


def pytest_generate_tests(metafunc):
    options = metafunc.config.option
    if options.peer and options.peer not in PEERS:
        raise pytest.UsageError(f"--peer must be one of {', '.join(PEERS)}, but is {options.peer}")
    chosen = comparisons(options.peer, options.full)
    parameters = [
        (group, *((name, replace(case, device=options.device)) for name, case in pair))
        for pair, group in chosen.items()
    ]
    metafunc.parametrize(("group", "subject", "peer"), parameters, ids=map(readable, chosen))


def readable(pair):
    (subject, case), (peer, peers_case) = pair
    with_case = "" if peers_case == case else f"-{peers_case.id}"
    return f"{subject}-{case.id}-against-{peer}{with_case}"


def test_forward_and_backward(group, subject, peer, benchmark, seconds):
    benchmark.group = group
    compare(benchmark, engine(*subject), engine(*peer), seconds)
