"""Criteria of torch as losses, each with its exact reduction."""

from typing import Any

import torch
from torch import nn

from everygrad.errors import InputError, UnsupportedError, all_mismatches, unknown_name
from everygrad.graph import LOSSES, operation
from everygrad.graph.losses import BinaryCrossEntropy, Loss, SoftmaxCrossEntropy, SquaredError

_CRITERIA = "nn.CrossEntropyLoss, nn.BCEWithLogitsLoss or nn.MSELoss"


def loss_of(loss: Any) -> Loss:
    """The loss meant by a name, a criterion of torch, or a loss of ours (returned as it is).

    The names ``"cross_entropy"``, ``"binary_cross_entropy_with_logits"`` and ``"mse_loss"`` are the
    functions of ``torch.nn.functional`` with their defaults: a mean over the samples and, for the last
    two, over the outputs too. Our own names (``"softmax_cross_entropy"`` ...) sum over the outputs.
    Raises `UnsupportedError` with everything about a criterion that has no counterpart.
    """
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, nn.Module):
        return _criterion(loss)
    if not isinstance(loss, str):
        raise InputError(f"loss must be a name, a loss operation or a criterion of torch, got {type(loss).__name__}")
    functional = {
        "cross_entropy": SoftmaxCrossEntropy(),
        "binary_cross_entropy_with_logits": BinaryCrossEntropy(outputs="mean"),
        "mse_loss": SquaredError(outputs="mean"),
    }
    if loss in functional:
        return functional[loss]
    if loss not in LOSSES:
        raise unknown_name("loss", loss, [*LOSSES, *functional])
    found = operation(loss, LOSSES)
    assert isinstance(found, Loss)  # what the table of losses makes
    return found


def _criterion(criterion: nn.Module) -> Loss:
    problems = []
    if isinstance(criterion, nn.BCELoss):
        problems.append("it takes probabilities: leave the Sigmoid out and give nn.BCEWithLogitsLoss()")
    elif isinstance(criterion, nn.NLLLoss):
        problems.append("it takes log-probabilities: leave the LogSoftmax out and give nn.CrossEntropyLoss()")
    elif type(criterion) not in (nn.CrossEntropyLoss, nn.MSELoss, nn.BCEWithLogitsLoss):
        problems.append(f"it has no counterpart here: give {_CRITERIA}")
    for name in ("weight", "pos_weight"):
        if isinstance(getattr(criterion, name, None), torch.Tensor):
            problems.append(f"{name}= (of classes or outputs) has no counterpart here")
    if isinstance(criterion, nn.CrossEntropyLoss) and criterion.ignore_index != -100:
        problems.append(f"ignore_index={criterion.ignore_index} has no counterpart here: leave those samples out")
    reduction = getattr(criterion, "reduction", "mean")
    if reduction == "none" and not isinstance(criterion, nn.CrossEntropyLoss):
        problems.append("reduction='none' gives one loss per output; here a sample has one loss: use 'sum' or 'mean'")
    all_mismatches(f"loss {type(criterion).__name__}", problems, UnsupportedError)
    if isinstance(criterion, nn.CrossEntropyLoss):
        return SoftmaxCrossEntropy(reduction, criterion.label_smoothing)
    outputs = "mean" if reduction == "mean" else "sum"
    return (SquaredError if isinstance(criterion, nn.MSELoss) else BinaryCrossEntropy)(reduction, outputs)
