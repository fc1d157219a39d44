"""Checks of a circuit as a layer: its calls, dtypes, shots, copies, devices, processes and threads."""

import copy
import io
import json
import pickle
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Barrier, Thread
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sqdr.circuit import Backend, ReuploadCircuit
from sqdr.noise import NoiseModel
from sqdr.registry import create_circuit
from sqdr.testing.cases import Case
from sqdr.testing.subject import TOLERANCES, Subject, expect, expect_close, gradients

_CASE = Case(3, 2)
_NOISY = Case(
    3, 2, "linear", (("BitFlip", (0.1, 0.2, 0.3)),), (("AmplitudeDamping", 0.1),), (0.1, 0.0, 0.2)
)
_N_THREADS, _N_CALLS = 4, 5
_PATIENCE = 60  # seconds


def unchanged_inputs(subject: Subject) -> None:
    """An evaluation and its gradient leave angles and weights, and their `grad`, as they were."""
    circuit, angles = subject.circuit(_CASE), subject.angles(_CASE, 2)
    inputs = {"angles": angles, "weights": circuit.weights}
    before = {name: tensor.detach().clone() for name, tensor in inputs.items()}
    circuit(angles)
    _evaluated(circuit, angles.requires_grad_())
    for name, tensor in inputs.items():
        expect(torch.equal(tensor, before[name]), f"the {name} are changed in place")
        expect(tensor.grad is None, f"the {name} have a `grad` that nobody asked for")


def repeated_calls(subject: Subject) -> None:
    """What a circuit computes does not depend on its earlier calls, whatever their batches were."""
    circuit, angles = subject.circuit(_CASE), subject.angles(_CASE, 2)
    expected = subject.circuit(_CASE)(angles.flip(0)).flip(0)
    for earlier in (angles.flip(0), angles[:1], -angles, angles[1]):
        circuit(earlier)
        expect_close("<Z> of a later call", circuit(angles), expected, subject.tolerance)


def changed_weights(subject: Subject) -> None:
    """Weights that are trained, loaded or replaced after an evaluation count in the next."""
    circuit, angles = subject.circuit(_CASE), subject.angles(_CASE, 2)
    for factor in (0.5, -1.0):
        fresh = subject.circuit(_CASE)
        _scale_weights(fresh, factor)
        expected = fresh(angles)
        circuit(angles)
        circuit.load_state_dict(fresh.state_dict())
        expect_close("<Z> of changed weights", circuit(angles), expected, subject.tolerance)
        circuit(angles)
        circuit.weights = nn.Parameter(subject.circuit(_CASE).weights.detach())
        circuit(angles)
        circuit.weights = nn.Parameter(fresh.weights.detach().clone())
        expect_close("<Z> of replaced weights", circuit(angles), expected, subject.tolerance)


def interleaved_circuits(subject: Subject) -> None:
    """Two circuits of one shape, evaluated and differentiated in turns, do not disturb each other."""
    circuits, angles = [subject.circuit(_CASE) for _ in range(2)], subject.angles(_CASE, 2)
    _scale_weights(circuits[1], -1)
    batches = [angles.clone().requires_grad_(), (0.5 * angles).requires_grad_()]
    alone = [_evaluated(circuit, batch) for circuit, batch in zip(circuits, batches, strict=True)]
    of_other_weights = circuits[0](batches[1])
    differ = not torch.allclose(of_other_weights, alone[1][0])
    expect(differ, "circuits of different weights have the same <Z>")
    values = [circuit(batch) for circuit, batch in zip(circuits, batches, strict=True)]
    for i, circuit in enumerate(circuits):
        found = [values[i], *gradients(values[i], [batches[i], circuit.weights])]
        _expect_all_close("in turns", found, alone[i], subject.tolerance)


def frozen_inputs(subject: Subject) -> None:
    """Angles and weights are differentiated each without the other, and neither where none asks."""
    circuit, angles = subject.circuit(_CASE), subject.angles(_CASE, 2)
    of_both = gradients(circuit(angles.requires_grad_()), [angles, circuit.weights])
    circuit.weights.requires_grad_(False)
    (of_angles,) = gradients(circuit(angles), [angles])
    expect_close("frozen weights: the gradient by the angles", of_angles, of_both[0], subject.tolerance)
    angles.requires_grad_(False)
    expect(not circuit(angles).requires_grad, "<Z> of frozen weights and angles asks for a gradient")
    circuit.weights.requires_grad_(True)
    (of_weights,) = gradients(circuit(angles), [circuit.weights])
    what = "constant angles: the gradient by the weights"
    expect_close(what, of_weights, of_both[1], subject.tolerance)
    with torch.no_grad():
        expect(not circuit(angles).requires_grad, "<Z> asks for a gradient under torch.no_grad()")


def inference_mode(subject: Subject) -> None:
    """A circuit that was evaluated in inference mode first can be trained afterwards."""
    angles = subject.angles(_CASE, 2).requires_grad_()
    expected = _evaluated(subject.circuit(_CASE), angles)
    circuit = subject.circuit(_CASE)
    with torch.inference_mode():
        values = circuit(angles.detach())
        expect_close("<Z> in inference mode", values, expected[0], subject.tolerance)
    _expect_all_close("after inference mode", _evaluated(circuit, angles), expected, subject.tolerance)


def dtypes(subject: Subject) -> None:
    """<Z> has the dtype of the angles; half precision and autocast are computed in float32."""
    circuit, angles = subject.circuit(_CASE, dtype=torch.float32), subject.angles(_CASE, 2)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        values = circuit(angles.to(dtype))
        expect(values.dtype == dtype, f"<Z> of {dtype} angles is {values.dtype}")
        expected = circuit(angles.to(dtype).float())
        rounding = torch.finfo(dtype).eps + TOLERANCES[torch.float32]
        expect_close(f"<Z> of {dtype} angles", values, expected, rounding)
    for case in (Case(3, 2), Case(3, 3), Case(3, 3, "circular")):
        circuit, angles = subject.circuit(case, dtype=torch.float32), subject.angles(case).float()
        expected = circuit(angles)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            values = circuit(angles)
        what = f"{case}: <Z> under torch.autocast"
        expect_close(what, values, expected, TOLERANCES[torch.float32])


def strided_angles(subject: Subject) -> None:
    """Angles need not be contiguous: transposed, sliced and expanded ones mean what they hold."""
    circuit, angles = subject.circuit(_CASE), subject.angles(_CASE, 2)
    padded = torch.nn.functional.pad(angles, (1, 2))
    for what, strided in (
        ("transposed", angles.t().contiguous().t()),
        ("sliced", padded[:, 1:-2]),
        ("expanded", angles[:1].expand(4, -1)),
    ):
        expected = circuit(strided.contiguous())
        expect_close(f"<Z> of {what} angles", circuit(strided), expected, subject.tolerance)


def shots(subject: Subject) -> None:
    """<Z> of shots is a mean of outcomes around the exact <Z>, follows torch's seed, and scatters."""
    n_shots, repetitions = 25, 100
    circuit = subject.circuit(_CASE)
    angles = subject.angles(_CASE, 1).expand(repetitions, -1)
    with torch.no_grad():
        exact = circuit(angles)
        circuit.shots = n_shots
        drawn = circuit(angles).double()
        circuit.shots = None
        expect_close("<Z> after shots = None", circuit(angles), exact, subject.tolerance)
    counts = (drawn + 1) * n_shots / 2
    expect_close("the number of +1 outcomes", counts, counts.round(), 1e-3)
    deviation = ((1 - exact[0].double() ** 2) / (n_shots * repetitions)).clamp(min=0).sqrt()
    excess = ((drawn.mean(0) - exact[0]).abs() - 5 * deviation).max().item()
    expect(excess < 1e-6, f"the mean of {repetitions} <Z> is {excess:.2g} beyond five deviations")
    expect(bool((drawn.std(0) > 0).any()), "shots do not scatter")

    def seeded() -> Tensor:
        torch.manual_seed(3)
        values: Tensor = subject.circuit(_CASE, shots=n_shots)(subject.angles(_CASE, 2))
        return values.detach()

    expect(torch.equal(seeded(), seeded()), "shots of one seed differ")


def global_settings(subject: Subject) -> None:
    """Neither making nor evaluating a circuit changes settings or random states of the process."""
    random_state = torch.get_rng_state()
    create_circuit("native", 3, 2)  # which draws its initial weights, and nothing else
    before = _settings()
    torch.set_rng_state(random_state)
    circuit = create_circuit(subject.backend, 3, 2, **subject.options)
    _expect_settings("making a circuit", before)
    angles = torch.linspace(-2, 2, 18).reshape(2, 9).requires_grad_()
    before = _settings()
    _evaluated(circuit, angles)
    _expect_settings("evaluating a circuit", before)


def initial_weights(subject: Subject) -> None:
    """One seed of torch gives the same initial weights on every backend."""
    drawn = []
    both: list[tuple[Backend, Mapping[str, Any]]]
    both = [("native", {}), (subject.backend, subject.options)]
    for backend, options in both:
        torch.manual_seed(5)
        drawn.append(create_circuit(backend, 3, 2, init_range=(-1, 1), **options).weights)
    expect_close("the weights of seed 5", drawn[1], drawn[0], 0.0)
    expect(bool(drawn[1].requires_grad), "the weights are not trained")


def state_dict(subject: Subject) -> None:
    """The `state_dict` has weights and tensors of the noise alone, and moves between backends."""
    for case in _cases(subject):
        circuit = subject.circuit(case)
        native = case.circuit("native", 0 * circuit.weights.detach(), subject.dtype)
        found, expected = set(circuit.state_dict()), set(native.state_dict())
        expect(found == expected, f"{case}: keys are {sorted(found)} instead of {sorted(expected)}")
        file = io.BytesIO()
        torch.save(circuit.state_dict(), file)
        file.seek(0)
        native.load_state_dict(torch.load(file, weights_only=True))
        other = subject.circuit(case)
        nn.init.zeros_(other.weights)
        other.load_state_dict(native.state_dict())
        angles = subject.angles(case, 2)
        what = f"{case}: <Z> of a loaded circuit"
        expect_close(what, other(angles), circuit(angles), subject.tolerance)


def other_backends(subject: Subject) -> None:
    """`to_backend` brings a circuit here and away again, with its pairs, weights and noise."""
    for case in _cases(subject):
        circuit, angles = subject.circuit(case), subject.angles(case, 2)
        away = circuit.to_backend("native", dtype=subject.dtype)
        back = away.to_backend(subject.backend, **subject.options)
        for there in (away, back):
            expect(there.pairs == circuit.pairs, f"{case}: the pairs are {there.pairs}")
            expect(there.noise == circuit.noise, f"{case}: the noise is {there.noise}")
            expect_close(f"{case}: moved weights", there.weights, circuit.weights, 0.0)
        expect_close(
            f"{case}: <Z> of a moved circuit", back(angles), circuit(angles), subject.tolerance
        )


def deep_copies(subject: Subject) -> None:
    """`copy.deepcopy` gives an equal and independent circuit, before an evaluation and after."""
    _expect_copies(subject, copy.deepcopy)


def pickling(subject: Subject) -> None:
    """`pickle` gives an equal and independent circuit, before an evaluation and after."""
    _expect_copies(subject, lambda circuit: pickle.loads(pickle.dumps(circuit)))


def devices(subject: Subject) -> None:
    """<Z> and gradients are on the device of the angles, the CPU and CUDA where there is one."""
    expected = _evaluated(subject.circuit(_CASE), subject.angles(_CASE, 2).requires_grad_())
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        circuit = subject.circuit(_CASE).to(device)
        found = _evaluated(circuit, subject.angles(_CASE, 2).to(device).requires_grad_())
        for tensor in found:
            expect(tensor.device.type == device, f"a tensor of {device} angles is on {tensor.device}")
        _expect_all_close(f"on {device}", found, expected, 4 * subject.tolerance)


def processes(subject: Subject) -> None:
    """In a new process, a circuit that is sent there and one that is made there work as here."""
    circuit, angles = subject.circuit(_CASE), subject.angles(_CASE, 2)
    options = {"dtype": subject.dtype, **subject.options}
    sent = (circuit, angles, subject.backend, options)
    ran = subprocess.run(
        [sys.executable, "-c", _NEW_PROCESS],
        input=pickle.dumps(sys.path) + pickle.dumps(sent),
        capture_output=True,
        check=False,
    )
    last_lines = ran.stderr.decode(errors="replace").strip().splitlines()[-1:]
    expect(ran.returncode == 0, f"a new process ended with: {' '.join(last_lines)}")
    of_sent, of_made = json.loads(ran.stdout.splitlines()[-1])
    expected = circuit(angles)
    for what, values in (("sent to", of_sent), ("made in", of_made)):
        there = torch.tensor(values, dtype=torch.float64)
        expect_close(f"<Z> of a circuit {what} a new process", there, expected, subject.tolerance)


_NEW_PROCESS = """
import json, pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
circuit, angles, backend, options = pickle.load(sys.stdin.buffer)
import sqdr
made = sqdr.create_circuit(backend, circuit.n_wires, circuit.n_blocks, **options)
made.load_state_dict(circuit.state_dict())
print(json.dumps([circuit(angles).tolist(), made(angles).tolist()]))
"""


def threads(subject: Subject) -> None:
    """One circuit evaluates and differentiates other angles in each of several threads at a time."""
    circuit = subject.circuit(_CASE)
    batches = [((i + 1) * subject.angles(_CASE, 1)).requires_grad_() for i in range(_N_THREADS)]
    expected = [_evaluated(circuit, batch) for batch in batches]
    found: dict[int, list[list[Tensor]] | Exception] = {}
    barrier = Barrier(_N_THREADS)

    def evaluate(i: int) -> None:
        barrier.wait()
        try:
            found[i] = [_evaluated(circuit, batches[i]) for _ in range(_N_CALLS)]
        except Exception as error:  # raised below, in the thread of the check
            found[i] = error

    # Threads that wait for each other for ever must not keep the process from ending.
    running = [Thread(target=evaluate, args=(i,), daemon=True) for i in range(_N_THREADS)]
    with _switching_often():
        for thread in running:
            thread.start()
        for thread in running:
            thread.join(_PATIENCE)
    for i, wanted in enumerate(expected):
        calls = found.get(i, TimeoutError(f"a thread is not done after {_PATIENCE} seconds"))
        if isinstance(calls, Exception):
            raise calls
        for values in calls:
            _expect_all_close("in threads", values, wanted, subject.tolerance)


def _cases(subject: Subject) -> list[Case]:
    return [_CASE, _NOISY] if subject.can("noise") else [_CASE]


def _scale_weights(circuit: ReuploadCircuit, factor: float) -> None:
    with torch.no_grad():
        circuit.weights.mul_(factor)


def _evaluated(circuit: ReuploadCircuit, angles: Tensor) -> list[Tensor]:
    """<Z> and its gradients by angles and weights."""
    values = circuit(angles)
    return [values.detach(), *gradients(values, [angles, circuit.weights])]


def _expect_all_close(
    where: str, found: list[Tensor], expected: list[Tensor], tolerance: float
) -> None:
    names = ("<Z>", "the gradient by the angles", "the gradient by the weights")
    for name, actual, wanted in zip(names, found, expected, strict=True):
        expect_close(f"{name} {where}", actual, wanted, tolerance)


def _expect_copies(subject: Subject, duplicate: Callable[[ReuploadCircuit], ReuploadCircuit]) -> None:
    for case in _cases(subject):
        circuit, angles = subject.circuit(case), subject.angles(case, 2)
        early = duplicate(circuit)
        expected = circuit(angles)
        late = duplicate(circuit)
        nn.init.zeros_(circuit.weights)
        for copied in (early, late):
            expect_close(f"{case}: <Z> of a copy", copied(angles), expected, subject.tolerance)
        what = f"{case}: <Z> of a copy that the circuit learns from"
        nn.init.zeros_(early.weights)
        expect_close(what, circuit(angles), early(angles), subject.tolerance)
    if subject.can("noise"):
        circuit = subject.circuit(_CASE, noise=NoiseModel.preset("author-code"))
        circuit(subject.angles(_CASE, 2))
        copied = duplicate(circuit)
        what = "drawn noise: <Z> of a copy"
        angles = subject.angles(_CASE, 2)
        expect_close(what, copied(angles), circuit(angles), subject.tolerance)


def _settings() -> dict[str, Any]:
    _, numpy_state, position, *_ = np.random.get_state()
    return {
        "torch's default dtype": torch.get_default_dtype(),
        "torch's default device": torch.get_default_device(),
        "torch's gradient mode": torch.is_grad_enabled(),
        "torch's number of threads": torch.get_num_threads(),
        "torch's deterministic mode": torch.are_deterministic_algorithms_enabled(),
        "torch's random state": torch.get_rng_state().tolist(),
        "NumPy's random state": (np.asarray(numpy_state).tolist(), position),
        "Python's random state": random.getstate(),
    }


def _expect_settings(doing: str, before: dict[str, Any]) -> None:
    for name, value in _settings().items():
        expect(value == before[name], f"{doing} changes {name}")


@contextmanager
def _switching_often() -> Iterator[None]:
    """Threads take turns after microseconds, so that they meet where they are not safe."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


CHECKS = (
    *(unchanged_inputs, repeated_calls, changed_weights, interleaved_circuits, frozen_inputs),
    *(inference_mode, dtypes, strided_angles, shots, global_settings, initial_weights, state_dict),
    *(other_backends, deep_copies, pickling, devices, processes, threads),
)
