"""One autograd node for a whole circuit, in place of one for each of its operations."""

from collections.abc import Callable, Sequence
from itertools import count
from types import FunctionType
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

Tensors = Sequence[Tensor]


class Evaluation(Protocol):
    """A function of tensors with a gradient of its own."""

    def function(self, *inputs: Tensor) -> Tensor:
        """The value, by operations that torch differentiates."""

    def forward(self, *inputs: Tensor, keep: bool) -> tuple[Tensor, Tensors]:
        """The value and, if that is to be kept, what `backward` needs of the way there."""

    def backward(
        self, grad: Tensor, inputs: Tensors, kept: Tensors, needed: Sequence[bool]
    ) -> Sequence[Tensor | None]:
        """Gradients of the inputs, those that are needed, given that of the value and what was kept."""


def evaluate(evaluation: Evaluation, *inputs: Tensor) -> Tensor:
    """The value of `evaluation`, differentiable in all ways that torch knows.

    Reverse mode goes through `evaluation.backward`. Second derivatives, forward mode, the transforms of
    `torch.func`, compiled and traced code go through `evaluation.function`.
    """
    if is_traced() or is_transformed(inputs):
        return evaluation.function(*inputs)
    return evaluate_plain(evaluation, *inputs)


def evaluate_plain(evaluation: Evaluation, *inputs: Tensor) -> Tensor:
    """As `evaluate`, of tensors for which `are_plain` holds, outside of compiled code."""
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs):
        value: Tensor = _Node.apply(evaluation, *inputs)
        return value
    with torch.no_grad():
        return evaluation.forward(*inputs, keep=False)[0]


class Compiled:
    """A function and its gradient through `torch.compile`; an `Evaluation`.

    The gradient evaluates the function once more. Even so a small circuit takes three quarters of the
    time that it takes with PyTorch's own node for compiled code.

    Args:
        function (function): of tensors, without state.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        def value(*inputs: Tensor) -> Tensor:
            return function(*inputs)

        def gradients(grad: Tensor, *inputs: Tensor) -> Any:
            return torch.func.vjp(function, *inputs)[1](grad)

        self.function = function
        self._value = _compile(value)
        self._gradients = _compile(gradients)

    def forward(self, *inputs: Tensor, keep: bool) -> tuple[Tensor, Tensors]:  # noqa: ARG002
        return self._value(*inputs), ()

    def backward(
        self,
        grad: Tensor,
        inputs: Tensors,
        kept: Tensors,  # noqa: ARG002
        needed: Sequence[bool],  # noqa: ARG002
    ) -> Tensors:
        # That of a sum is spread from one number; other strides would be compiled anew.
        gradients: Tensors = self._gradients(grad.contiguous(), *inputs)
        return gradients


class _Node(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, evaluation: Evaluation, *inputs: Tensor) -> Tensor:
        value, kept = evaluation.forward(*inputs, keep=True)
        ctx.evaluation, ctx.n_inputs = evaluation, len(inputs)
        ctx.save_for_backward(*inputs, *kept)
        return value

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        saved = ctx.saved_tensors  # read once, which is all that torch.utils.checkpoint allows
        inputs, kept = saved[: ctx.n_inputs], saved[ctx.n_inputs :]
        is_one = torch._C._has_storage(grad)  # not several at once, by is_grads_batched=True
        if torch.is_grad_enabled() or not is_one or is_transformed((grad,)):
            return None, *torch.func.vjp(ctx.evaluation.function, *inputs)[1](grad)
        return None, *ctx.evaluation.backward(grad, inputs, kept, ctx.needs_input_grad[1:])


def are_plain(*tensors: Tensor) -> bool:
    """Whether tensors have numbers in memory, and nobody looks on: neither a trace nor a transform."""
    return (
        all(type(tensor) in (Tensor, nn.Parameter) for tensor in tensors)
        and torch._C._len_torch_dispatch_stack() == 0
        and torch._C._get_tracing_state() is None
        and not is_transformed(tensors)
    )


def is_traced() -> bool:
    """Whether torch.compile or torch.jit.trace makes a graph of what is done."""
    return torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None


def is_transformed(tensors: Tensors) -> bool:
    """Whether a transform of `torch.func` or forward mode is at work."""
    if torch._C._functorch.maybe_current_level() is not None:
        return True
    if forward_ad._current_level < 0:
        return False
    unpack: Callable[[Tensor], Any] = forward_ad.unpack_dual
    return any(unpack(tensor).tangent is not None for tensor in tensors)


def _compile(function: Any) -> Callable[..., Any]:
    # PyTorch counts recompilations per code object, over all circuits of the process, and raises
    # beyond eight; sizes that differ between circuits of one name it takes for symbols, which it does
    # not always compile on CUDA. So each circuit compiles code objects and names of its own.
    code = function.__code__.replace(co_name=f"{function.__name__}_{next(_NUMBERS)}")
    own = FunctionType(code, function.__globals__, closure=function.__closure__)
    return torch.compile(own)


_NUMBERS = count()
