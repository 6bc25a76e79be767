"""Data sets to train on and to look at: built in, or from .csv and .npz files, split and standardised."""

from everygrad.data.dataset import DataSet, Task
from everygrad.data.load import BUILT_IN, SEQUENCES, load
from everygrad.data.network import loss_for, network_for, recurrent_for, sizes_for
from everygrad.data.scaling import Scaling

__all__ = [
    "BUILT_IN",
    "SEQUENCES",
    "DataSet",
    "Scaling",
    "Task",
    "load",
    "loss_for",
    "network_for",
    "recurrent_for",
    "sizes_for",
]
