"""What the processes of test_data_parallel.py do: one training step on their shares of a batch."""

import copy
from pathlib import Path

import torch
from torch import distributed, nn

from sqdr.parallel import Share, SharedBatchNorm

N_PROCESSES = 2


def step(model, images, labels):
    """Gradients and buffers after a step."""
    nn.functional.cross_entropy(model(images), labels).backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    return gradients, dict(model.named_buffers())


def shared_step(rank, folder, model, images, labels):
    """`step` with data-parallel processes; the first one keeps what it has."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/group", rank=rank, world_size=N_PROCESSES
    )
    share = Share(rank, N_PROCESSES)
    model = copy.deepcopy(model)  # what is sent to a process stays in memory that both see
    shared = nn.parallel.DistributedDataParallel(SharedBatchNorm().apply(model))
    nn.functional.cross_entropy(shared(share.of(images)), share.of(labels)).backward()
    if rank == 0:
        SharedBatchNorm().revert(model)
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        torch.save((gradients, dict(model.named_buffers())), Path(folder) / "step.pt")
    distributed.destroy_process_group()
