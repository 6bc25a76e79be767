"""``from_torch``: a torch module as a network of ours, with copies of its parameters."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from everygrad.adapters.stack import network
from everygrad.adapters.torch_chain import is_chain, read_chain
from everygrad.adapters.torch_losses import loss_of
from everygrad.adapters.torch_parts import SUPPORTED, is_torchs_own
from everygrad.adapters.traced.choosing import choose, network_of
from everygrad.adapters.traced.reading import Reader
from everygrad.adapters.traced.tracing import trace
from everygrad.engines import Array
from everygrad.errors import InputError, UnsupportedError, all_mismatches, unknown_name
from everygrad.networks import FeedForward, GraphNetwork


def from_torch(
    module: Any,
    loss: Any = "softmax_cross_entropy",
    *,
    arrays: str = "numpy",
    axes: str | Sequence[str] | None = None,
) -> tuple[FeedForward | GraphNetwork, dict[str, Array]]:
    """A torch model as (network, parameters) with the same outputs and the same gradients.

    ``module`` is any ``nn.Module``; its forward, and those of the user's own modules inside, are traced by torch.fx.
    Read are ``nn.RNN``, ``nn.LSTM`` and ``nn.GRU`` (layers, both directions, ``proj_size``, ``batch_first`` or not, no
    bias, initial states), Embedding, Linear, Identity, Flatten, Dropout in eval mode, ReLU, LeakyReLU, ELU, GELU (both
    forms), SiLU, Sigmoid, Tanh, Softplus, their functions and a few more (exp, log, sqrt, sin, cos, powers); sums,
    differences, products and quotients with numbers and with ``nn.Parameter`` of the module's own; one step of a
    sequence (``out[:, -1]``), the mean over time, ``h_n`` and ``c_n``; slices, ``chunk``, ``split``, ``cat`` and
    ``stack`` of features; ``view``, ``reshape``, ``flatten``, ``transpose``, ``permute``, ``squeeze`` where samples,
    steps and features stay apart. Arguments of forward with a default keep it; buffers are constants.

    It becomes a `FeedForward` if it has that form, else a `GraphNetwork` (Flatten, a shortcut, a shared Linear ...).
    Linear number i computes ``ai`` from ``Wi`` (out, in) and ``bi`` (out,); the activation behind it ``hi``, further
    ones ``hi_2`` ...; before the first Linear of a stack ``h0_2`` ...; Embedding number i ``ei`` from ``Ei``.
    Recurrent layers have the names of `everygrad.Recurrent` with torch's endings, ``h_l0``, ``W_i_l1_reverse``: a
    parameter for each gate, the two biases added up (``b_hn`` apart); if the model has several of them, the path of
    the module stands before the ending, ``h_decoder_l0``, and from the second call on its number, ``h_2_l0``. In a
    `GraphNetwork` torch's own names are second names: ``g["fc.weight"]``, and ``g["fc"]`` for what the module gives.
    What is used twice, or shared, is one parameter with two consumers, named at its first use.

    The data of a stack are ``h0``, or ``x``; else those of forward in its order (the only one is called ``x``), then
    ``y``. In our network they are (batch, time, features), (batch, time) for tokens, also where the model is
    time-first; initial states are (batch, units), one for each layer and direction (``h0_l1_reverse``). If the model
    gives something at each step, so does ``y`` (batch, time); features are last. Of several results the first is
    compared with ``y``.

    ``axes``: what the axes of the model's inputs are, one text for each: ``"bti"`` (batch, time, input features),
    ``"tbi"``, ``"bit"``, ``"bi"``, ``"bt"`` or ``"tb"`` (tokens or numbers), ``"b"``, ``"b*"`` (any features),
    ``"b1ti"`` (images of one channel as rows). By default the first that fits: without time if there is no recurrent
    module and it is possible. A Linear that acts at each step needs to be told: ``axes="bti"``.

    ``loss``: a name (those of ``torch.nn.functional`` have torch's reduction), a loss operation, or a criterion:
    ``nn.CrossEntropyLoss(label_smoothing=0.1)``, ``nn.MSELoss()``, ``nn.BCEWithLogitsLoss()``, with its exact
    reduction, over steps too. It acts on the model's output as the criterion does: on logits.

    The parameters are copies, of the dtype they had, NumPy arrays or (``arrays="torch"``) detached tensors on their
    own device. Nothing of the model is changed, and later training of it is not followed.

    Two differences. torch's Softplus is the identity above its threshold of 20, ours is exact there: the two differ by
    at most 2.1e-9, and not at all in ``nn.Softplus(threshold=1e4)``. The row ``padding_idx`` of an Embedding has its
    true gradient here, where torch reports zero; values and all other gradients are the same.

    Raises `UnsupportedError` with everything that has no counterpart, by its name, the path of the module and the line
    of the user's forward: any other class or function (also torch's own subclasses), Dropout in training mode, hooks
    and parametrisations, what a trace cannot see (conditions on data, loops over time, ``torch.no_grad``, work in
    place on what is used elsewhere, attributes that forward sets), dtypes other than float32 and float64.
    """
    if arrays not in ("numpy", "torch"):
        raise unknown_name("kind of arrays", arrays, ("numpy", "torch"))
    if not isinstance(module, nn.Module):
        raise InputError(f"from_torch takes a torch.nn.Module, got {type(module).__name__}")
    chosen = loss_of(loss)
    if axes is None and is_chain(module):
        steps, tensors, problems = read_chain(module)
        all_mismatches(f"from_torch takes {SUPPORTED}", problems + _dtypes(tensors), UnsupportedError)
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        net: FeedForward | GraphNetwork = network(steps, shapes, chosen)
    else:
        alone = is_torchs_own(module) and not isinstance(module, nn.Sequential)
        model = nn.Sequential(module) if alone else module
        reading, said = choose(Reader(model, trace(model), "0" if alone else None), axes)
        tensors = reading.building.tensors
        problems = [*reading.problems, *_dtypes(tensors)]
        all_mismatches(f"from_torch takes {SUPPORTED}; {said}", problems, UnsupportedError)
        net = network_of(reading, chosen)
    return net, {name: _copy(tensor, arrays) for name, tensor in tensors.items()}


def _copy(tensor: torch.Tensor, arrays: str) -> Array:
    return tensor.detach().clone() if arrays == "torch" else np.array(tensor.detach().cpu().numpy(), order="C")


def _dtypes(tensors: Mapping[str, torch.Tensor]) -> list[str]:
    found = sorted({str(tensor.dtype) for tensor in tensors.values()})
    several = f"parameters of different dtypes, {' and '.join(found)}: model.double() or model.float()"
    return [several] if len(found) > 1 else []
