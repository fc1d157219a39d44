"""What the processes of test_data_parallel.py do: one training step on their shares of a batch."""

import copy
from pathlib import Path

import torch
from torch import distributed, nn

from sqdr.experiment.data.sharing import Share
from sqdr.experiment.training.batch_norm import SharedBatchNorm

N_PROCESSES = 2


def step(model, images, labels):
    """Gradients and buffers after a step."""
    dtype = next(model.parameters()).dtype
    nn.functional.cross_entropy(model(images.to(dtype)), labels).backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    return gradients, dict(model.named_buffers())


def shared_step(rank, folder, models, images, labels):
    """`step` of each model in data-parallel processes; the first one keeps the results."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/group", rank=rank, world_size=N_PROCESSES
    )
    share = Share(rank, N_PROCESSES)
    results = {}
    for backend, model in models.items():
        # What is sent to a process stays in memory that both see.
        shared = nn.parallel.DistributedDataParallel(SharedBatchNorm().apply(copy.deepcopy(model)))
        of_shared = step(shared, share.of(images), share.of(labels))
        results[backend] = [
            {name.removeprefix("module."): value for name, value in values.items()}
            for values in of_shared
        ]
    if rank == 0:
        torch.save(results, Path(folder) / "steps.pt")
    distributed.destroy_process_group()
