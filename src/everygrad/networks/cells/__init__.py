"""Cells of recurrent networks: Elman, LSTM, GRU, and a user's own function."""

from everygrad.networks.cells.base import RecurrentCell
from everygrad.networks.cells.elman import Elman
from everygrad.networks.cells.gru import GRU
from everygrad.networks.cells.lstm import LSTM
from everygrad.networks.cells.own import Cell

__all__ = ["GRU", "LSTM", "Cell", "Elman", "RecurrentCell"]
