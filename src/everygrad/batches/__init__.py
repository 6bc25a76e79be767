"""Batches larger than memory: gradients are sums over samples, taken chunk by chunk with one fixed tree of sums."""

from everygrad.batches.cut import Chunks, chunks
from everygrad.batches.record import ChunkedGradients
from everygrad.batches.whole import gradients_of_chunks

__all__ = ["ChunkedGradients", "Chunks", "chunks", "gradients_of_chunks"]
