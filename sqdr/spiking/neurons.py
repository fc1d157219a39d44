"""Neurons: currents -> spikes."""

import math
from typing import Any, Literal, NamedTuple, cast

import torch
from spikingjelly.activation_based import neuron, surrogate
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Neuron = Literal["IF", "LIF", "PLIF"]
#: The surrogate gradients, as SpikingJelly names them.
Surrogate = Literal[
    "ATan", "Erf", "PiecewiseExp", "PiecewiseQuadratic", "Sigmoid", "SoftSign", "SuperSpike"
]


class Dynamics(NamedTuple):
    """Numbers of a neuron that is reset to 0 and has the ATan surrogate gradient.

    A step is h = decay v + gain x, s = [h >= threshold], v = (1 - s) h, and the gradient of s is
    height / (1 + (slope (h - threshold))^2).
    """

    decay: float
    gain: float
    threshold: float
    height: float
    slope: float

    @property
    def of_kernels(self) -> tuple[float, ...]:
        """Those that kernels take, which find the gain in the currents."""
        return self.decay, self.threshold, self.height, self.slope


class _WithoutMemory(neuron.BaseNode):  # type: ignore[misc]
    """Neurons of SpikingJelly without memory.

    Each call starts from a membrane potential of zero and leaves nothing behind, so there is nothing
    to reset, and calls of different batch sizes or from different threads do not meet.
    """

    def multi_step_forward(self, x_seq: Tensor) -> Tensor:
        """Input currents (T, ...) -> spikes (T, ...)."""
        (spikes,), _ = self.multi_step_functional_forward((x_seq,), (torch.zeros_like(x_seq[0]),))
        return cast(Tensor, spikes)

    @property
    def dynamics(self) -> Dynamics | None:
        """The neuron's numbers, None if it is of another kind; its attributes may be changed."""
        leak, gradient = self._leak(), self.surrogate_function
        if leak is None or type(gradient) is not surrogate.ATan or not gradient.spiking:
            return None
        if self.v_reset != 0 or self.detach_reset:
            return None
        alpha = float(gradient.alpha)
        return Dynamics(*leak, float(self.v_threshold), alpha / 2, math.pi / 2 * alpha)

    def _leak(self) -> tuple[float, float] | None:
        """Decay of the potential and gain of the current in a time step; None if they are trained."""
        return None


class IntegrateAndFire(_WithoutMemory, neuron.IFNode):  # type: ignore[misc]
    """SpikingJelly's integrate-and-fire neuron without memory.

    Args:
        gradient (str): surrogate gradient. Default: "ATan".
    """

    def __init__(self, gradient: Surrogate = "ATan") -> None:
        super().__init__(surrogate_function=getattr(surrogate, gradient)())

    def multi_step_forward(self, x_seq: Tensor) -> Tensor:
        """Input currents (T, ...) -> spikes (T, ...)."""
        if has_fast_path(x_seq) and self._is_standard:
            return cast(Tensor, _IntegrateAndFireFunction.apply(x_seq)[0])
        return super().multi_step_forward(x_seq)

    def _leak(self) -> tuple[float, float]:
        return 1.0, 1.0

    @property
    def _is_standard(self) -> bool:
        """Whether the neuron is as it was made; its attributes may be changed."""
        gradient = self.surrogate_function
        has_gradient = type(gradient) is surrogate.ATan and gradient.alpha == 2 and gradient.spiking
        return has_gradient and (self.v_threshold, self.v_reset, self.detach_reset) == (1, 0, False)


class LeakyIntegrateAndFire(_WithoutMemory, neuron.LIFNode):  # type: ignore[misc]
    """SpikingJelly's leaky integrate-and-fire neuron without memory: h = v + (x - v) / tau.

    Args:
        tau (float): time constant of the membrane, in time steps. Default: 2.
        gradient (str): surrogate gradient. Default: "ATan".
    """

    def __init__(self, tau: float = 2.0, gradient: Surrogate = "ATan") -> None:
        super().__init__(tau, surrogate_function=getattr(surrogate, gradient)())

    def _leak(self) -> tuple[float, float]:
        rate = 1 / float(self.tau)
        return 1 - rate, rate if self.decay_input else 1.0


class ParametricLeakyIntegrateAndFire(_WithoutMemory, neuron.ParametricLIFNode):  # type: ignore[misc]
    """SpikingJelly's leaky integrate-and-fire neuron of which tau is trained, without memory.

    Source: Fang et al., ICCV 2021, arXiv 2007.05785.

    Args:
        tau (float): time constant at first, in time steps. Default: 2.
        gradient (str): surrogate gradient. Default: "ATan".
    """

    def __init__(self, tau: float = 2.0, gradient: Surrogate = "ATan") -> None:
        super().__init__(tau, surrogate_function=getattr(surrogate, gradient)())


def new_neuron(kind: Neuron, tau: float, gradient: Surrogate) -> nn.Module:
    """A neuron of this kind; `tau` is of those that leak."""
    match kind:
        case "IF":
            return IntegrateAndFire(gradient)
        case "LIF":
            return LeakyIntegrateAndFire(tau, gradient)
    return ParametricLeakyIntegrateAndFire(tau, gradient)


def has_fast_path(*tensors: Tensor) -> bool:
    """Whether the functions of these modules apply; elsewhere SpikingJelly chooses kernels."""
    return not torch.compiler.is_compiling() and all(
        tensor.device.type == "cpu"
        and tensor.dtype in (torch.float32, torch.float64)
        and tensor.dtype == tensors[0].dtype
        and not torch.is_autocast_enabled("cpu")
        for tensor in tensors
    )


class _IntegrateAndFireFunction(torch.autograd.Function):
    """Currents (T, ...) -> spikes (T, ...) and minus the potentials before the reset (T, ...).

    A step is h = v + x, s = [h >= 1], v = (1 - s) h. The potentials have the opposite sign in here,
    which makes `threshold` and its backward kernel the reset and its gradient, one operation each.
    The gradient of s is that of SpikingJelly's ATan with alpha = 2, 1 / (1 + (pi (h - 1))^2).
    """

    @staticmethod
    def vmap(
        info: Any,  # noqa: ARG004
        in_dims: tuple[int],
        currents: Tensor,
    ) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        """As more neurons."""
        return _IntegrateAndFireFunction.apply(currents.movedim(in_dims[0], 1)), (1, 1)

    @staticmethod
    def forward(currents: Tensor) -> tuple[Tensor, Tensor]:
        minus_h = torch.empty_like(currents, memory_format=torch.contiguous_format)
        torch.neg(currents[0], out=minus_h[0])
        for t in range(1, len(currents)):
            minus_v = nn.functional.threshold(minus_h[t - 1], -1.0, 0.0)
            torch.sub(minus_v, currents[t], out=minus_h[t])
        spikes = torch.empty_like(minus_h)
        torch.le(minus_h, -1.0, out=spikes)
        return spikes, minus_h

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:  # noqa: ARG004
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor, _: Tensor) -> Tensor:
        (minus_h,) = ctx.saved_tensors
        grad = torch.empty_like(minus_h)
        ones = torch.ones_like(minus_h[0])
        grad_v = torch.zeros_like(minus_h[0])
        for t in reversed(range(len(minus_h))):
            distance = minus_h[t] + 1
            slope = torch.addcmul(ones, distance, distance, value=math.pi**2, out=distance)  # 1 / slope
            grad_s = torch.addcmul(grad_spikes[t], minus_h[t], grad_v)
            past_reset = torch.ops.aten.threshold_backward(grad_v, minus_h[t], -1.0)
            grad_v = torch.addcdiv(past_reset, grad_s, slope, out=grad[t])
        return grad
