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

from sqdr.ansatz import TRAINED
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
    """An evaluation and its gradient leave angles and what is trained, and `grad`, as they were."""
    for case in _members(subject):
        circuit, angles = subject.circuit(case), subject.angles(case, 2)
        inputs = {"angles": angles, **_trained(circuit)}
        before = {name: tensor.detach().clone() for name, tensor in inputs.items()}
        circuit(angles)
        _evaluated(circuit, angles.requires_grad_())
        for name, tensor in inputs.items():
            expect(torch.equal(tensor, before[name]), f"the {name} are changed in place")
            expect(tensor.grad is None, f"the {name} have a `grad` that nobody asked for")


def repeated_calls(subject: Subject) -> None:
    """What a circuit computes does not depend on its earlier calls, whatever their batches were."""
    for case in _members(subject):
        circuit, angles = subject.circuit(case), subject.angles(case, 2)
        expected = subject.circuit(case)(angles.flip(0)).flip(0)
        for earlier in (angles.flip(0), angles[:1], -angles, angles[1]):
            circuit(earlier)
            what = f"{case}: the output of a later call"
            expect_close(what, circuit(angles), expected, subject.tolerance)


def changed_weights(subject: Subject) -> None:
    """What is trained, loaded or replaced after an evaluation counts in the next."""
    for case in _members(subject):
        circuit, angles = subject.circuit(case), subject.angles(case, 2)
        for factor in (0.5, -1.0):
            fresh = subject.circuit(case)
            _multiply(fresh, factor)
            expected = fresh(angles)
            circuit(angles)
            circuit.load_state_dict(fresh.state_dict())
            what = f"{case}: the output of changed {' and '.join(_trained(circuit))}"
            expect_close(what, circuit(angles), expected, subject.tolerance)
            for other in (subject.circuit(case), fresh):
                circuit(angles)
                for name, tensor in _trained(other).items():
                    setattr(circuit, name, nn.Parameter(tensor.detach().clone()))
            what = f"{case}: the output of replaced {' and '.join(_trained(circuit))}"
            expect_close(what, circuit(angles), expected, subject.tolerance)


def interleaved_circuits(subject: Subject) -> None:
    """Two circuits of one shape, evaluated and differentiated in turns, do not disturb each other."""
    circuits, angles = [subject.circuit(_CASE) for _ in range(2)], subject.angles(_CASE, 2)
    _multiply(circuits[1], -1)
    batches = [angles.clone().requires_grad_(), (0.5 * angles).requires_grad_()]
    alone = [_evaluated(circuit, batch) for circuit, batch in zip(circuits, batches, strict=True)]
    of_other_weights = circuits[0](batches[1])
    differ = not torch.allclose(of_other_weights, alone[1]["the output"])
    expect(differ, "circuits of different weights have the same <Z>")
    values = [circuit(batch) for circuit, batch in zip(circuits, batches, strict=True)]
    for i, circuit in enumerate(circuits):
        found = _with_gradients(values[i], circuit, batches[i])
        _expect_all_close("in turns", found, alone[i], subject.tolerance)


def frozen_inputs(subject: Subject) -> None:
    """Angles and each trained tensor are differentiated alone, and nothing where nobody asks."""
    for case in _cases(subject):
        circuit = subject.circuit(case, noise=case.trainable_noise)
        angles = subject.angles(case, 2).requires_grad_()
        inputs = {"angles": angles, **dict(circuit.named_parameters())}
        of_all = gradients(circuit(angles), list(inputs.values()))
        with torch.no_grad():
            asks = circuit(angles).requires_grad
        expect(not asks, f"{case}: the output asks for a gradient under torch.no_grad()")
        for tensor in inputs.values():
            tensor.requires_grad_(False)
        asks = circuit(angles).requires_grad
        expect(not asks, f"{case}: the output of frozen tensors and angles asks for a gradient")
        for (name, tensor), expected in zip(inputs.items(), of_all, strict=True):
            tensor.requires_grad_(True)
            (found,) = gradients(circuit(angles), [tensor])
            what = f"{case}: the gradient by {name} alone"
            expect_close(what, found, expected, 4 * subject.tolerance)
            tensor.requires_grad_(False)


def inference_mode(subject: Subject) -> None:
    """A circuit that was evaluated in inference mode first can be trained afterwards."""
    for case in _members(subject):
        angles = subject.angles(case, 2).requires_grad_()
        expected = _evaluated(subject.circuit(case), angles)
        circuit = subject.circuit(case)
        with torch.inference_mode():
            values = circuit(angles.detach())
            what = f"{case}: the output in inference mode"
            expect_close(what, values, expected["the output"], subject.tolerance)
        found = _evaluated(circuit, angles)
        _expect_all_close("after inference mode", found, expected, subject.tolerance)


def dtypes(subject: Subject) -> None:
    """<Z> has the dtype of the angles; half precision and autocast are computed in float32."""
    for case in _members(subject):
        circuit, angles = subject.circuit(case, dtype=torch.float32), subject.angles(case, 2)
        for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
            values = circuit(angles.to(dtype))
            expect(values.dtype == dtype, f"{case}: the output of {dtype} angles is {values.dtype}")
            expected = circuit(angles.to(dtype).float())
            rounding = torch.finfo(dtype).eps + TOLERANCES[torch.float32]
            expect_close(f"{case}: the output of {dtype} angles", values, expected, rounding)
    for case in (*_members(subject), Case(3, 3), Case(3, 3, "circular")):
        circuit, angles = subject.circuit(case, dtype=torch.float32), subject.angles(case).float()
        expected = circuit(angles)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            values = circuit(angles)
        what = f"{case}: <Z> under torch.autocast"
        expect_close(what, values, expected, TOLERANCES[torch.float32])


def strided_angles(subject: Subject) -> None:
    """Angles need not be contiguous: transposed, sliced and expanded ones mean what they hold."""
    for case in _members(subject):
        circuit, angles = subject.circuit(case), subject.angles(case, 2)
        padded = torch.nn.functional.pad(angles, (1, 2))
        for what, strided in (
            ("transposed", angles.t().contiguous().t()),
            ("sliced", padded[:, 1:-2]),
            ("expanded", angles[:1].expand(4, -1)),
        ):
            expected, what = circuit(strided.contiguous()), f"{case}: the output of {what} angles"
            expect_close(what, circuit(strided), expected, subject.tolerance)


def shots(subject: Subject) -> None:
    """What shots give is a mean of outcomes around the exact one, follows a seed, and scatters."""
    _expect_shots(subject, _CASE)
    if subject.can("observables"):
        _expect_shots(subject, Case(3, 2, observables=("X0 Y1", "Z2", "Y0 Z1 Z2", "X0")))


def _expect_shots(subject: Subject, case: Case) -> None:
    n_shots, repetitions = 25, 100
    circuit = subject.circuit(case)
    angles = subject.angles(case, 1).expand(repetitions, -1)
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
    what = f"{case}: the mean of {repetitions} outputs"
    expect(excess < 1e-6, f"{what} is {excess:.2g} beyond five deviations")
    expect(bool((drawn.std(0) > 0).any()), "shots do not scatter")

    def seeded() -> Tensor:
        torch.manual_seed(3)
        values: Tensor = subject.circuit(case, shots=n_shots)(subject.angles(case, 2))
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
    """One seed of torch gives the same initial weights on every backend, and couplings and scales."""
    both: list[tuple[Backend, Mapping[str, Any]]]
    both = [("native", {}), (subject.backend, subject.options)]
    for case in _members(subject):
        drawn = []
        for backend, options in both:
            torch.manual_seed(5)
            circuit = create_circuit(backend, 3, 2, init_range=(-1, 1), **case.family, **options)
            drawn.append(_trained(circuit))
        expected, found = drawn
        expect(list(found) == list(expected), f"{case}: what is trained is {', '.join(found)}")
        for name, tensor in found.items():
            expect_close(f"{case}: the {name} of seed 5", tensor, expected[name], 0.0)
            expect(tensor.requires_grad, f"{case}: the {name} are not trained")


def state_dict(subject: Subject) -> None:
    """The `state_dict` has trained tensors and those of the noise alone, and moves between backends."""
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
        _multiply(other, 0)
        other.load_state_dict(native.state_dict())
        angles = subject.angles(case, 2)
        what = f"{case}: the output of a loaded circuit"
        expect_close(what, other(angles), circuit(angles), subject.tolerance)


def other_backends(subject: Subject) -> None:
    """`to_backend` brings a circuit here and away again, with its pairs, trained tensors and noise."""
    for case in _cases(subject):
        circuit, angles = subject.circuit(case), subject.angles(case, 2)
        away = circuit.to_backend("native", dtype=subject.dtype)
        back = away.to_backend(subject.backend, **subject.options)
        for there in (away, back):
            expect(there.pairs == circuit.pairs, f"{case}: the pairs are {there.pairs}")
            expect(there.noise == circuit.noise, f"{case}: the noise is {there.noise}")
            expect(there.ansatz == circuit.ansatz, f"{case}: the circuit is {there}")
            for name, tensor in _trained(circuit).items():
                expect_close(f"{case}: moved {name}", getattr(there, name), tensor, 0.0)
        what = f"{case}: the output of a moved circuit"
        expect_close(what, back(angles), circuit(angles), subject.tolerance)


def deep_copies(subject: Subject) -> None:
    """`copy.deepcopy` gives an equal and independent circuit, before an evaluation and after."""
    _expect_copies(subject, copy.deepcopy)


def pickling(subject: Subject) -> None:
    """`pickle` gives an equal and independent circuit, before an evaluation and after."""
    _expect_copies(subject, lambda circuit: pickle.loads(pickle.dumps(circuit)))


def devices(subject: Subject) -> None:
    """<Z> and gradients are on the device of the angles, the CPU and CUDA where there is one."""
    for case in _members(subject):
        expected = _evaluated(subject.circuit(case), subject.angles(case, 2).requires_grad_())
        for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
            circuit = subject.circuit(case).to(device)
            found = _evaluated(circuit, subject.angles(case, 2).to(device).requires_grad_())
            for name, tensor in found.items():
                what = f"{case}: {name} of {device} angles"
                expect(tensor.device.type == device, f"{what} is on {tensor.device}")
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
    found: dict[int, list[dict[str, Tensor]] | Exception] = {}
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


def _members(subject: Subject) -> list[Case]:
    """The published circuit, and one of all that the backend declares, without noise."""
    return list(dict.fromkeys((_CASE, subject.member(2, "linear", noisy=False))))


def _cases(subject: Subject) -> list[Case]:
    return [*_members(subject), _NOISY] if subject.can("noise") else _members(subject)


def _trained(circuit: ReuploadCircuit) -> dict[str, Tensor]:
    """The tensors of gates that a circuit trains, by name."""
    return {name: t for name in TRAINED if (t := getattr(circuit, name)) is not None}


def _multiply(circuit: ReuploadCircuit, factor: float) -> None:
    """Multiply what a circuit trains."""
    with torch.no_grad():
        for tensor in _trained(circuit).values():
            tensor.mul_(factor)


def _evaluated(circuit: ReuploadCircuit, angles: Tensor) -> dict[str, Tensor]:
    """The output and its gradients by angles and what is trained, by what they are."""
    return _with_gradients(circuit(angles), circuit, angles)


def _with_gradients(values: Tensor, circuit: ReuploadCircuit, angles: Tensor) -> dict[str, Tensor]:
    inputs = {"angles": angles, **_trained(circuit)}
    found = zip(inputs, gradients(values, list(inputs.values())), strict=True)
    return {"the output": values.detach()} | {f"the gradient by the {n}": g for n, g in found}


def _expect_all_close(
    where: str, found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float
) -> None:
    for name, wanted in expected.items():
        expect_close(f"{name} {where}", found[name], wanted, tolerance)


def _expect_copies(subject: Subject, duplicate: Callable[[ReuploadCircuit], ReuploadCircuit]) -> None:
    for case in _cases(subject):
        circuit, angles = subject.circuit(case), subject.angles(case, 2)
        early = duplicate(circuit)
        expected = circuit(angles)
        late = duplicate(circuit)
        _multiply(circuit, 0)
        for copied in (early, late):
            expect_close(f"{case}: the output of a copy", copied(angles), expected, subject.tolerance)
        what = f"{case}: the output of a copy that the circuit learns from"
        _multiply(early, 0)
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
