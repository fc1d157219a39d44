"""Prints where a training step spends its time, by kernel: SQDR-CNN beside SpikingJelly's own layers.

Convolution, batch normalisation and pooling are PyTorch's kernels in both. What sqdr replaces is the
rest, and the backward pass of the convolution.
"""

import torch
from test_training_step import SIZES, training_step
from torch.profiler import ProfilerActivity, profile

KERNELS = {
    "convolution, forward": ("aten::mkldnn_convolution",),
    "convolution, backward": ("aten::convolution_backward",),
    "batch normalisation": ("aten::native_batch_norm", "aten::native_batch_norm_backward"),
    "max pooling": ("aten::max_pool2d_with_indices", "aten::max_pool2d_with_indices_backward"),
}
STEPS = 20


def milliseconds_by_kernel(step):
    """Milliseconds of each kernel in a step, on one thread, and of everything else."""
    torch.set_num_threads(1)
    step()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(STEPS):
            step()
    times = {event.key: event.self_cpu_time_total / 1000 / STEPS for event in profiled.key_averages()}
    named = {kernel: sum(times.get(key, 0) for key in keys) for kernel, keys in KERNELS.items()}
    return named | {"everything else": sum(times.values()) - sum(named.values())}


def main():
    for size in SIZES:
        columns = {
            name: milliseconds_by_kernel(training_step(name, size))
            for name in ("SQDR_CNN, noisy", "SpikingJelly's layers")
        }
        print(f"\nMilliseconds of a training step by kernel, one thread, {size}:\n")
        print(f"| kernel | {' | '.join(columns)} |")
        print("|---|---|---|")
        for kernel in next(iter(columns.values())):
            print(f"| {kernel} | {' | '.join(f'{times[kernel]:.1f}' for times in columns.values())} |")


if __name__ == "__main__":
    main()
