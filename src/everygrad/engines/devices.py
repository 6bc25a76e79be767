"""What the other array libraries can compute on. The only module that imports one unasked for an array of its own."""

from importlib.util import find_spec


def devices(library: str) -> list[str] | None:
    """The devices of ``"torch"`` or ``"jax"`` by name; None if the library is not installed. It is imported."""
    if find_spec(library) is None:
        return None
    return _of_torch() if library == "torch" else _of_jax()


def _of_torch() -> list[str]:
    import torch

    gpus = [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [f"cpu ({torch.get_num_threads()} threads)", *gpus, *mps]


def _of_jax() -> list[str]:
    import jax

    return [f"{device.platform}:{device.id} {device.device_kind}" for device in jax.devices()]
