"""Backends with one fault each, and the check of `sqdr.testing` that is meant for it."""

import copy
import math
import time
from typing import ClassVar

import torch
from torch import nn

import sqdr
from sqdr.backends.native import NativeCircuit


class Wrong(NativeCircuit):
    meant = ""  # name of the check


class ConjugatedOperators(Wrong):
    """Kraus operators lose the sign of their imaginary parts."""

    meant = "kraus_channels"

    def __init__(self, *sizes, noise=None, **options):
        if noise is not None:
            places = (
                tuple(sqdr.Kraus(c.operators.conj()) if isinstance(c, sqdr.Kraus) else c for c in place)
                for place in (noise.after_rotation, noise.after_entangler)
            )
            noise = sqdr.NoiseModel(*places, noise.readout_error)
        super().__init__(*sizes, noise=noise, **options)


class SinglePrecision(Wrong):
    """Declares float64 and computes in float32."""

    meant = "double_precision"

    def expectation_values(self, angles, weights):
        return super().expectation_values(angles.float(), weights.float())


class SqueezedBatch(Wrong):
    """A batch of one loses its axis, where there are several wires."""

    meant = "shapes"

    def expectation_values(self, angles, weights):
        values = super().expectation_values(angles, weights)
        return values[0] if len(values) == 1 and self.n_wires > 1 else values


class NormalisedBatch(Wrong):
    """The rows of a batch influence each other."""

    meant = "shapes"

    def expectation_values(self, angles, weights):
        return super().expectation_values(angles + angles[0] - angles.mean(0), weights)


class SwappedWires(Wrong):
    """The first wire is the last in what comes out, as in bit strings with the lowest bit first."""

    meant = "wires"

    def expectation_values(self, angles, weights):
        return super().expectation_values(angles, weights).flip(-1)


class ExchangedAngles(Wrong):
    """RZ(phi) RY(theta) RZ(omega) for RZ(omega) RY(theta) RZ(phi)."""

    meant = "rotations"

    def expectation_values(self, angles, weights):
        return super().expectation_values(angles.flip(-1), weights.flip(-1))


class RingForChain(Wrong):
    """CZ gates on a ring of wires where a chain is asked for."""

    meant = "entanglement"

    def __init__(self, n_wires, n_blocks, *, entanglement="linear", **options):
        entanglement = "circular" if entanglement == "linear" else entanglement
        super().__init__(n_wires, n_blocks, entanglement=entanglement, **options)


class ChainForPairs(Wrong):
    """CZ gates on a chain where a list of pairs is asked for."""

    meant = "entanglement"

    def __init__(self, n_wires, n_blocks, *, entanglement="linear", **options):
        entanglement = entanglement if isinstance(entanglement, str) else "linear"
        super().__init__(n_wires, n_blocks, entanglement=entanglement, **options)


class LostGradientOfAngles(Wrong):
    meant = "gradient_of_angles"

    def expectation_values(self, angles, weights):
        return super().expectation_values(angles.detach(), weights)


class LostGradientOfWeights(Wrong):
    meant = "gradient_of_weights"

    def expectation_values(self, angles, weights):
        return super().expectation_values(angles, weights.detach())


class MeanGradientOfWeights(Wrong):
    """The gradient of a batch is the mean over its rows, not the sum."""

    meant = "gradient_of_weights"

    def expectation_values(self, angles, weights):
        mean = weights.detach() + (weights - weights.detach()) / len(angles)
        return super().expectation_values(angles, mean)


class SpreadNaN(Wrong):
    """A sample that is not finite spoils the others."""

    meant = "samples_that_are_not_finite"

    def expectation_values(self, angles, weights):
        return super().expectation_values(angles, weights) + 0 * angles.sum()


class FiniteFromNaN(Wrong):
    """An angle that is not finite has an expectation value."""

    meant = "samples_that_are_not_finite"

    def expectation_values(self, angles, weights):
        return super().expectation_values(angles.nan_to_num(0, 0, 0), weights)


class UndeclaredNoise(Wrong):
    """Accepts noise without the capability, and leaves it out."""

    meant = "undeclared_noise"
    capabilities = frozenset({"float64"})

    def __init__(self, n_wires, n_blocks, *, noise=None, **options):  # noqa: ARG002
        super().__init__(n_wires, n_blocks, **options)


class IgnoredNoise(Wrong):
    meant = "channels"

    def realised_noise(self, angles):
        return sqdr.NoiseModel().with_strengths(
            {"readout_error": super().realised_noise(angles).readout_error}
        )


class ReversedChannels(Wrong):
    """Several channels act in the wrong order."""

    meant = "order_of_channels"

    def realised_noise(self, angles):
        return _changed(super().realised_noise(angles), lambda channels: channels[::-1])


class IgnoredReadoutError(Wrong):
    meant = "readout_error"

    def realised_noise(self, angles):
        return super().realised_noise(angles).with_strengths({"readout_error": 0.0})


class NoiseDrawnTwice(Wrong):
    meant = "drawn_noise"

    def realised_noise(self, angles):
        super().realised_noise(angles)
        return super().realised_noise(angles)


class LostGradientOfStrengths(Wrong):
    meant = "gradient_of_strengths"

    def realised_noise(self, angles):
        noise = super().realised_noise(angles)
        return noise.with_strengths(
            {name: s.detach() for name, _, s in noise.named_strengths() if isinstance(s, torch.Tensor)}
        )


class RememberedStrengths(Wrong):
    """The strengths of the first call are those of every later one."""

    meant = "changed_strengths"
    remembered = None

    def realised_noise(self, angles):
        if self.remembered is None:
            noise = super().realised_noise(angles)
            self.remembered = noise.with_strengths(
                {n: s.clone() for n, _, s in noise.named_strengths() if isinstance(s, torch.Tensor)}
            )
        return self.remembered


class UndeclaredCouplings(Wrong):
    """Accepts ZZ without the capability, and leaves CZ in its place."""

    meant = "undeclared_members"
    capabilities = NativeCircuit.capabilities - {"couplings"}

    def __init__(self, n_wires, n_blocks, *, entangler="CZ", **options):  # noqa: ARG002
        super().__init__(n_wires, n_blocks, **options)


class UndeclaredPairNoise(Wrong):
    """Accepts noise of pairs without the capability, and leaves it out."""

    meant = "undeclared_members"
    capabilities = NativeCircuit.capabilities - {"device-noise"}

    def __init__(self, *sizes, noise=None, **options):
        if noise is not None:
            noise = sqdr.NoiseModel(
                noise.after_rotation, noise.on_wires_after_entangler, noise.readout_error
            )
        super().__init__(*sizes, noise=noise or None, **options)


class EncodingBackwards(Wrong):
    """The rotations that take data act from the last letter to the first."""

    meant = "encoding_axes"

    def __init__(self, *sizes, encoding="Rot", **options):
        super().__init__(*sizes, encoding=_backwards(encoding), **options)

    def expectation_values(self, angles, weights):
        angles = angles if self.encoding == "Rot" else angles.flip(-1)
        return super().expectation_values(angles, weights)


class FeaturesBackwards(Wrong):
    """The features of a wire are read from the last to the first."""

    meant = "encoding_axes"

    def expectation_values(self, angles, weights):
        angles = angles if self.encoding == "Rot" else angles.flip(-1)
        return super().expectation_values(angles, weights)


class RotationBackwards(Wrong):
    """The rotations that are trained act from the last letter to the first."""

    meant = "rotation_axes"

    def __init__(self, *sizes, rotation="Rot", **options):
        super().__init__(*sizes, rotation=_backwards(rotation), **options)

    def expectation_values(self, angles, weights):
        weights = weights if self.rotation == "Rot" else weights.flip(-1)
        return super().expectation_values(angles, weights)


class SplitByWire(Wrong):
    """Features are ordered by wire first and then by block."""

    meant = "split_inputs"

    def rows_of(self, angles, scales, dtype):
        if self.inputs == "split":
            by_wire = angles.reshape(-1, self.n_wires, self.n_blocks, len(self.ansatz.encoding))
            angles = by_wire.transpose(1, 2).reshape(angles.shape)
        return super().rows_of(angles, scales, dtype)


class LastBlockFirst(Wrong):
    """The first features are those of the last block."""

    meant = "split_inputs"

    def rows_of(self, angles, scales, dtype):
        rows = super().rows_of(angles, scales, dtype)
        return rows.flip(0) if self.inputs == "split" else rows


class ScalesOfAnotherBlock(Wrong):
    meant = "scales"

    def rows_of(self, angles, scales, dtype):
        return super().rows_of(angles, None if scales is None else scales.flip(0), dtype)


class ScalesOfTheFirstBlock(Wrong):
    """Every block has the factors of the first, as long as it reads the same features."""

    meant = "scales"

    def rows_of(self, angles, scales, dtype):
        if scales is not None and self.inputs == "repeat":
            scales = scales[:1].expand_as(scales)
        return super().rows_of(angles, scales, dtype)


class LostGradientOfScales(Wrong):
    meant = "scales"

    def rows_of(self, angles, scales, dtype):
        return super().rows_of(angles, None if scales is None else scales.detach(), dtype)


class OppositeCouplings(Wrong):
    """exp(i theta/2 Z Z)."""

    meant = "couplings"

    def couplings_for(self, angles):
        return -super().couplings_for(angles)


class WholeCouplings(Wrong):
    """exp(-i theta Z Z)."""

    meant = "couplings"

    def couplings_for(self, angles):
        return 2 * super().couplings_for(angles)


class CouplingsOfAnotherLayer(Wrong):
    meant = "couplings"

    def couplings_for(self, angles):
        return super().couplings_for(angles).flip(0)


class CouplingsOfAnotherPair(Wrong):
    meant = "couplings"

    def couplings_for(self, angles):
        return super().couplings_for(angles).flip(1)


class LostGradientOfCouplings(Wrong):
    meant = "couplings"

    def couplings_for(self, angles):
        return super().couplings_for(angles).detach()


class NeighbouringWire(Wrong):
    """A wire that is named is taken for the next one."""

    meant = "observables_of_one_wire"

    def __init__(self, n_wires, n_blocks, *, observables="Z", **options):
        if not isinstance(observables, str) and not any(" " in word for word in observables):
            observables = [f"{word[0]}{(int(word[1:]) + 1) % n_wires}" for word in observables]
        super().__init__(n_wires, n_blocks, observables=observables, **options)


class SortedOutputs(Wrong):
    """Outputs come in the order of their wires, not in that which is asked for."""

    meant = "observables_of_one_wire"

    def __init__(self, *sizes, observables="Z", **options):
        if not isinstance(observables, str):
            observables = sorted(observables, key=lambda word: word[1:])
        super().__init__(*sizes, observables=observables, **options)


class OppositeY(Wrong):
    """A Y has the wrong sign, as it has where it is measured after the inverse turn."""

    meant = "observables_of_one_wire"

    def expectation_values(self, angles, weights):
        return _signed(self, super().expectation_values(angles, weights), "Y")


class OppositeYOfWords(Wrong):
    """Likewise in products alone."""

    meant = "observables_of_several_wires"

    def expectation_values(self, angles, weights):
        values = super().expectation_values(angles, weights)
        return _signed(self, values, "Y", of_words=True)


class FirstOfWord(Wrong):
    """Of a product, only the first factor is measured."""

    meant = "observables_of_several_wires"

    def __init__(self, *sizes, observables="Z", **options):
        if not isinstance(observables, str):
            observables = [word.split()[0] for word in observables]
        super().__init__(*sizes, observables=observables, **options)


class ReadoutErrorOnce(Wrong):
    """A product has the factor of its first wire alone."""

    meant = "readout_error_of_words"

    def expectation_values(self, angles, weights):
        values = super().expectation_values(angles, weights)
        error = 0.0 if self.noise is None else self.noise.readout_error
        if isinstance(error, sqdr.ReadoutError):
            return values
        factors = (1 - 2 * torch.as_tensor(error)).expand(self.n_wires)
        words = self.ansatz.observables
        excess = torch.stack([factors[[w for w, _ in word[1:]]].prod() for word in words])
        return values / excess.to(values)


class NoiseOfAnotherPair(Wrong):
    meant = "two_wire_noise"

    def realised_noise(self, angles):
        return _of_pairs(super().realised_noise(angles), lambda strength: strength.flip(-1))


class NoiseOfEveryWire(Wrong):
    """What acts on pairs acts on every wire, so that each Pauli of one wire shrinks as on one pair."""

    meant = "two_wire_noise"

    def __init__(self, *sizes, noise=None, **options):
        if noise is not None:
            processes = [
                sqdr.Depolarizing(torch.as_tensor(4 * p.p / 5).mean().item())
                if isinstance(p, sqdr.TwoWireDepolarizing)
                else p
                for p in noise.after_entangler
            ]
            noise = sqdr.NoiseModel(noise.after_rotation, processes, noise.readout_error)
        super().__init__(*sizes, noise=noise, **options)


class PairNoiseLast(Wrong):
    """What acts on pairs acts after what acts on wires, whatever its place."""

    meant = "two_wire_noise"

    def realised_noise(self, angles):
        return _changed(
            super().realised_noise(angles),
            lambda channels: sorted(channels, key=lambda c: isinstance(c, sqdr.TwoWireDepolarizing)),
        )


class LostGradientOfPairNoise(Wrong):
    meant = "two_wire_noise"

    def realised_noise(self, angles):
        return _of_pairs(super().realised_noise(angles), torch.Tensor.detach)


class ExchangedDirections(Wrong):
    """The probability of a 0 is taken for that of a 1."""

    meant = "directed_readout_error"

    def realised_noise(self, angles):
        return _read(super().realised_noise(angles), lambda zero, one: (one, zero))


class MeanOfDirections(Wrong):
    """A 0 and a 1 are read wrongly alike."""

    meant = "directed_readout_error"

    def realised_noise(self, angles):
        return _read(super().realised_noise(angles), lambda zero, one: ((zero + one) / 2,) * 2)


class NoiselessCouplings(Wrong):
    """Noise is forgotten where the entangler is ZZ."""

    meant = "members"

    def realised_noise(self, angles):
        noise = super().realised_noise(angles)
        nothing = {name: 0 * strength for name, _, strength in noise.named_strengths()}
        return noise.with_strengths(nothing) if self.entangler == "ZZ" else noise


class RememberedBatch(Wrong):
    """The first batch of each size is taken for every later one."""

    meant = "repeated_calls"

    def expectation_values(self, angles, weights):
        remembered = self.__dict__.setdefault("remembered", {})
        return super().expectation_values(remembered.setdefault(len(angles), angles), weights)


class RememberedWeights(Wrong):
    """The weights of the first call are those of every later one."""

    meant = "changed_weights"

    def expectation_values(self, angles, weights):
        remembered = self.__dict__.setdefault("remembered", weights.detach().clone())
        return super().expectation_values(angles, remembered + (weights - weights.detach()))


class RememberedCouplings(Wrong):
    """The couplings of the first call are those of every later one."""

    meant = "changed_weights"

    def couplings_for(self, angles):
        couplings = super().couplings_for(angles)
        remembered = self.__dict__.setdefault("remembered", couplings.detach().clone())
        return remembered + (couplings - couplings.detach())


class GlobalState(Wrong):
    """What the backward pass needs is kept for the process, not for the call."""

    meant = "interleaved_circuits"

    def expectation_values(self, angles, weights):
        if self.noise is not None or self.couplings is not None:
            return super().expectation_values(angles, weights)
        return OfLastCall.apply(super().expectation_values, angles, weights)


class OfLastCall(torch.autograd.Function):
    @staticmethod
    def forward(_, evaluate, angles, weights):
        OfLastCall.kept = evaluate, angles.detach(), weights.detach()
        return evaluate(angles, weights)

    @staticmethod
    def backward(_, grad):
        evaluate, *inputs = OfLastCall.kept
        return None, *torch.func.vjp(evaluate, *inputs)[1](grad)


class NeedsTrainedWeights(Wrong):
    """The angles have a gradient where the weights have one."""

    meant = "frozen_inputs"

    def expectation_values(self, angles, weights):
        return super().expectation_values(angles if weights.requires_grad else angles.detach(), weights)


class CouplingsNeedTrainedWeights(Wrong):
    """The couplings have a gradient where the weights have one."""

    meant = "frozen_inputs"

    def couplings_for(self, angles):
        couplings = super().couplings_for(angles)
        return couplings if self.weights.requires_grad else couplings.detach()


class TensorsOfInferenceMode(Wrong):
    """What the first call makes is used by later ones, though autograd refuses it."""

    meant = "inference_mode"

    def expectation_values(self, angles, weights):
        ones = self.__dict__.setdefault("ones", angles.new_ones(()))
        return ones * super().expectation_values(angles, weights)


class DoubleFromEverything(Wrong):
    """<Z> is float64 whatever the angles are."""

    meant = "dtypes"

    def forward(self, angles):
        return super().forward(angles).double()


class AssumedStrides(Wrong):
    """Reads the memory of the angles as if they were contiguous."""

    meant = "strided_angles"

    def expectation_values(self, angles, weights):
        if angles.dim() == 3:
            letters = angles.shape[-1]
            strides = (letters * self.n_wires, letters, 1)
            angles = angles.as_strided(angles.shape, strides, angles.storage_offset())
        return super().expectation_values(angles, weights)


class IgnoredShots(Wrong):
    """Declares that it measures, and gives the exact values."""

    meant = "shots"
    capabilities = NativeCircuit.capabilities | {"shots"}


class UnseededShots(Wrong):
    meant = "shots"

    def _measured(self, values, shots):
        self.generator.seed()
        return super()._measured(values, shots)


class ShotsOfAnotherWord(Wrong):
    """Outputs of shots are in another order where there are products."""

    meant = "shots"

    def _measured(self, values, shots):
        measured = super()._measured(values, shots)
        if all(len(word) == 1 for word in self.ansatz.observables):
            return measured
        return measured.roll(1, -1)


class ChangedAngles(Wrong):
    """Brings the caller's angles into [0, 2 pi)."""

    meant = "unchanged_inputs"

    def expectation_values(self, angles, weights):
        values = super().expectation_values(angles, weights)
        angles.data.remainder_(2 * math.pi)
        return values


class ChangedDefaultDtype(Wrong):
    meant = "global_settings"

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        torch.set_default_dtype(torch.float64)


class GlobalDraws(Wrong):
    """An evaluation draws from torch's global generator."""

    meant = "global_settings"

    def expectation_values(self, angles, weights):
        torch.rand(())
        return super().expectation_values(angles, weights)


class OwnInitialWeights(Wrong):
    meant = "initial_weights"

    def reset_parameters(self):
        super().reset_parameters()
        with torch.no_grad():
            self.weights.mul_(0.5)


class OwnInitialScales(Wrong):
    meant = "initial_weights"

    def reset_parameters(self):
        super().reset_parameters()
        if self.scales is not None:
            nn.init.normal_(self.scales)


class SavedBuffer(Wrong):
    """A table of the backend's own is in the `state_dict`."""

    meant = "state_dict"

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.register_buffer("table", torch.ones(2))


class RefusedOption(Wrong):
    """Its class does not take all arguments of `ReuploadCircuit`."""

    meant = "other_backends"

    def __init__(self, n_wires, n_blocks, *, entanglement="linear", init_range=(0, 6), **options):
        if "init_mode" in options:
            raise TypeError("RefusedOption() got an unexpected keyword argument 'init_mode'")
        super().__init__(n_wires, n_blocks, entanglement=entanglement, init_range=init_range, **options)


class SharedCopies(Wrong):
    """A deep copy shares its weights with the original."""

    meant = "deep_copies"

    def __deepcopy__(self, memo):
        return copy.copy(self)


class NotPicklable(Wrong):
    """Holds a function without a name."""

    meant = "pickling"

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.same = lambda angles: angles

    def expectation_values(self, angles, weights):
        return super().expectation_values(self.same(angles), weights)


class OnTheCPU(Wrong):
    """Computes on the CPU and leaves the result there; seen with CUDA alone."""

    meant = "devices"

    def expectation_values(self, angles, weights):
        return super().expectation_values(angles, weights).cpu()


class SharedByThreads(Wrong):
    """Keeps the angles in the circuit during an evaluation."""

    meant = "threads"

    def expectation_values(self, angles, weights):
        self.angles = angles
        time.sleep(0)  # lets another thread go on
        values = super().expectation_values(self.angles, weights)
        self.angles = None
        return values


class OfThisProcess(Wrong):
    """Refers to something that only the process has that made the circuit."""

    meant = "processes"
    handles: ClassVar = []

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.handle = len(self.handles)
        self.handles.append(nn.Identity())

    def expectation_values(self, angles, weights):
        return super().expectation_values(self.handles[self.handle](angles), weights)


def _changed(noise, change):
    """The model with its channels changed in both places; strengths are as they were, unchecked."""
    changed = noise.with_strengths({})
    for place in ("after_rotation", "after_entangler"):
        object.__setattr__(changed, place, change(getattr(noise, place)))
    return changed


def _backwards(axes):
    return axes if axes == "Rot" else axes[::-1]


def _signed(circuit, values, letter, of_words=False):
    """Values of which those of words with a letter an odd number of times have the other sign."""
    words = circuit.ansatz.observables
    signs = [(-1) ** [of for _, of in word].count(letter) for word in words]
    chosen = [s if len(word) > 1 or not of_words else 1 for s, word in zip(signs, words, strict=True)]
    return values * values.new_tensor(chosen)


def _of_pairs(noise, change):
    """The model with the tensors changed that are strengths of noise of pairs."""
    return noise.with_strengths(
        {
            name: change(strength)
            for name, _, strength in noise.named_strengths()
            if name in noise.strengths_of_pairs() and isinstance(strength, torch.Tensor)
        }
    )


def _read(noise, change):
    """The model with the probabilities of a `ReadoutError` changed, if it has one."""
    if not noise.is_directed:
        return noise
    error = noise.readout_error
    zero, one = change(error.prob_meas1_prep0, error.prob_meas0_prep1)
    names = "readout_error_prob_meas1_prep0", "readout_error_prob_meas0_prep1"
    return noise.with_strengths(dict(zip(names, (zero, one), strict=True)))
