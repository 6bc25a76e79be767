"""Networks with their parameters on disk: safetensors, with the architecture in the metadata."""

from everygrad.files.load import Contents, load, read
from everygrad.files.save import save

__all__ = ["Contents", "load", "read", "save"]
