"""Training by mini-batches: optimisers, the loop with its history, checkpoints that resume bit for bit."""

from everygrad.train.loop import train
from everygrad.train.optimizers import OPTIMIZERS, SGD, Adam, Momentum, Optimizer
from everygrad.train.records import Epoch, Training

__all__ = ["OPTIMIZERS", "SGD", "Adam", "Epoch", "Momentum", "Optimizer", "Training", "train"]
