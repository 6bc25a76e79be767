"""A training that was cut and resumed is bitwise the one that was not."""

import importlib
import json
import struct
from dataclasses import dataclass

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given
from hypothesis import strategies as st

import everygrad as eg
from everygrad.checks.tolerance import assert_close
from everygrad.errors import FileFormatError, InputError
from everygrad.train import SGD, Adam, Momentum, Optimizer, train
from everygrad.train.checkpoint import _digest
from tests.train.cases import blobs, skip_network

FEED_FORWARD = eg.FeedForward([5, 8, 6, 3], activation="relu")
CASES = {
    "adam": (FEED_FORWARD, FEED_FORWARD.init(0), Adam(0.01)),
    "momentum, single precision": (FEED_FORWARD, FEED_FORWARD.init(0, np.float32), Momentum(0.05, nesterov=True)),
    "sgd, column order": (FEED_FORWARD, {n: np.asfortranarray(p) for n, p in FEED_FORWARD.init(1).items()}, SGD(0.1)),
    "one's own graph": (*skip_network(), Adam(0.01)),
}


def data(params):
    (x, y), held_out = blobs(), blobs(20, seed=5)
    dtype = next(iter(params.values())).dtype
    return x.astype(dtype), y, (held_out[0].astype(dtype), held_out[1])


def assert_bitwise(found, expected):
    """All but the seconds."""
    for which in ("params", "last"):
        for name, array in getattr(expected, which).items():
            assert getattr(found, which)[name].dtype == array.dtype
            assert np.asarray(getattr(found, which)[name]).tobytes() == np.asarray(array).tobytes(), (which, name)
    assert found.best_epoch == expected.best_epoch
    without = [[{k: v for k, v in row.items() if k != "seconds"} for row in t.as_rows()] for t in (found, expected)]
    assert without[0] == without[1]


class Stops:
    """Ctrl-C when an epoch is complete."""

    def __init__(self, epoch):
        self.at = epoch

    def __call__(self, epoch):
        if epoch.epoch == self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("every", [1, 3])
def test_a_resumed_training_is_bitwise_the_uninterrupted_one(case, every, tmp_path):
    net, start, optimizer = CASES[case]
    x, y, held_out = data(start)
    arguments = {"optimizer": optimizer, "batch_size": 8, "seed": 4, "validation": held_out}
    whole = train(net, start, x, y, epochs=7, progress=False, **arguments)
    arguments |= {"checkpoint": tmp_path / "run.ckpt", "checkpoint_every": every}
    cut = train(net, start, x, y, epochs=7, progress=Stops(2), **arguments)
    assert (cut.interrupted, len(cut.history)) == (True, 2)
    cut = train(net, start, x, y, epochs=7, progress=Stops(5), resume=True, **arguments)
    assert (cut.interrupted, len(cut.history)) == (True, 5)
    assert_bitwise(train(net, start, x, y, epochs=7, progress=False, resume=True, **arguments), whole)
    assert_bitwise(train(net, start, x, y, epochs=7, progress=False, resume=True, **arguments), whole)
    assert not whole.interrupted
    assert [p.name for p in tmp_path.iterdir()] == ["run.ckpt"]


@pytest.mark.parametrize("batch", [1, 4, 18])
def test_cut_in_the_middle_of_an_epoch(batch, tmp_path, monkeypatch):
    """53 samples in batches of 8 make 7 steps an epoch: the first, the first again, the third is cut."""
    net, start, optimizer = CASES["adam"]
    x, y, held_out = data(start)
    arguments = {"optimizer": optimizer, "batch_size": 8, "validation": held_out, "epochs": 4, "progress": False}
    whole = train(net, start, x, y, **arguments)
    calls, step = [], Adam.step

    def interrupted_step(self, *args):
        calls.append(args)
        if len(calls) == batch:
            raise KeyboardInterrupt
        return step(self, *args)

    arguments |= {"checkpoint": tmp_path / "run.ckpt", "checkpoint_every": 100}
    with monkeypatch.context() as patch:
        patch.setattr(Adam, "step", interrupted_step)
        cut = train(net, start, x, y, **arguments)
    assert cut.interrupted
    assert len(cut.history) == (batch - 1) // 7
    for name, array in calls[-1][0].items():  # the parameters that were to move next
        np.testing.assert_array_equal(cut.last[name], array)
    if not cut.history:
        assert cut.best_epoch == 0
        for name, array in cut.last.items():
            np.testing.assert_array_equal(cut.params[name], array)
    assert_bitwise(train(net, start, x, y, resume=True, **arguments), whole)


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_every_bit_generator_is_kept(kind, tmp_path):
    net, start, _ = CASES["adam"]
    x, y, _ = data(start)
    whole = train(net, start, x, y, epochs=3, seed=np.random.Generator(kind(6)), progress=False)
    path = tmp_path / "run.ckpt"
    train(net, start, x, y, epochs=1, seed=np.random.Generator(kind(6)), progress=False, checkpoint=path)
    again = np.random.Generator(kind(0))
    resumed = train(net, start, x, y, epochs=3, seed=again, progress=False, checkpoint=path, resume=True)
    assert_bitwise(resumed, whole)
    assert again.random() == np.random.Generator(kind(0)).random()


def test_tensors_are_resumed(tmp_path):
    net, start, _ = CASES["adam"]
    start = {name: torch.tensor(p) for name, p in start.items()}
    x, y = (torch.tensor(a) for a in blobs())
    whole = train(net, start, x, y, epochs=3, progress=False)
    train(net, start, x, y, epochs=2, progress=False, checkpoint=tmp_path / "a")
    resumed = train(net, start, x, y, epochs=3, progress=False, checkpoint=tmp_path / "a", resume=True)
    assert isinstance(resumed.last["W1"], torch.Tensor)
    for name, array in whole.last.items():
        assert torch.equal(resumed.last[name], array)


@pytest.fixture
def made(tmp_path):
    """A checkpoint after two epochs, and a function that resumes it with something else."""
    net, start, _ = CASES["adam"]
    x, y, held_out = data(start)
    path = tmp_path / "run.ckpt"
    arguments = {"epochs": 2, "batch_size": 8, "validation": held_out, "checkpoint": path, "progress": False}
    train(net, start, x, y, **arguments)

    def resume(net=net, params=start, x=x, y=y, **changed):
        return train(net, params, x, y, **(arguments | {"resume": True} | changed))

    return path, resume


def test_every_difference_is_listed(made):
    path, resume = made
    x, y = blobs(60)
    before = path.read_bytes()
    with pytest.raises(InputError) as caught:
        resume(
            net=eg.FeedForward([5, 8, 6, 3], activation="tanh"), x=x, y=y, batch_size=9, seed=1, validation=None,
            optimizer=Momentum(0.1),
        )  # fmt: skip
    for line in (
        "quantity h1: relu{}(a1) in the checkpoint, tanh{}(a1) here",
        "optimizer name: Adam in the checkpoint, Momentum here",
        "optimizer learning_rate: 0.001 in the checkpoint, 0.1 here",
        "optimizer momentum: nothing in the checkpoint, 0.9 here",
        "optimizer beta1: 0.9 in the checkpoint, nothing here",
        "batch_size: 8 in the checkpoint, 9 here",
        "seed: 0 in the checkpoint, 1 here",
        "training data shape of h0: (53, 5) in the checkpoint, (60, 5) here",
        "training data shape of y: (53,) in the checkpoint, (60,) here",
        "validation data: nothing in the checkpoint, none here",
    ):
        assert line in str(caught.value)
    assert "quantity a2" not in str(caught.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"x": blobs(seed=2)[0]}, "training data contents: "),
        ({"net": eg.FeedForward([5, 8, 6, 3], "relu", bias=False)}, "parameter b1: (8,) float64 in the checkpoint"),
        ({"seed": np.random.Generator(np.random.SFC64(0))}, "random generator: PCG64 in the checkpoint, SFC64 here"),
        ({"optimizer": "adam", "learning_rate": 1e-2}, "optimizer learning_rate: 0.001 in the checkpoint, 0.01 here"),
        ({"epochs": 1}, "has 2 epochs already: epochs=1"),
    ],
)
def test_one_difference(changed, line, made):
    if "net" in changed:
        changed = changed | {"params": changed["net"].init(0)}
    with pytest.raises(InputError) as caught:
        made[1](**changed)
    assert line in str(caught.value)


def test_a_checkpoint_that_is_there_is_not_overwritten(made):
    path, resume = made
    before = path.read_bytes()
    with pytest.raises(InputError, match="is there already: resume=True goes on with it"):
        resume(resume=False)
    assert path.read_bytes() == before
    with pytest.raises(InputError, match="resume=True needs the file"):
        resume(checkpoint=None)


def test_resuming_what_is_not_there_begins(tmp_path):
    net, start, _ = CASES["adam"]
    x, y, _ = data(start)
    found = train(net, start, x, y, epochs=1, progress=False, checkpoint=str(tmp_path / "new"), resume=True)
    assert_bitwise(found, train(net, start, x, y, epochs=1, progress=False))


@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_checkpoint(share, whole_file):
    path, content, resume = whole_file
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(FileFormatError, match=r"cut\.ckpt is"):
        resume(checkpoint=path)


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_damaged_checkpoint(place, bit, whole_file):
    path, content, resume = whole_file
    damaged = bytearray(content)
    damaged[int(place * len(content))] ^= 1 << bit
    path.write_bytes(damaged)
    with pytest.raises(FileFormatError, match=r"cut\.ckpt"):
        resume(checkpoint=path)


@pytest.fixture(scope="module")
def whole_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cut")
    net = eg.FeedForward([5, 3])
    x, y = blobs()

    def resume(checkpoint):
        return train(net, net.init(0), x, y, epochs=1, progress=False, checkpoint=checkpoint, resume=True)

    resume(folder / "whole.ckpt")
    return folder / "cut.ckpt", (folder / "whole.ckpt").read_bytes(), resume


def rewritten(whole, **changed):
    """The same file with other metadata."""
    size = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + size])
    header["__metadata__"] |= changed
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + whole[8 + size :]


def signed(whole, text):
    """The same numbers with another text, and the digest that belongs to it."""
    return rewritten(whole, content=text, digest=_digest(safetensors.numpy.load(whole), text))


@pytest.mark.parametrize(
    ("foreign", "said"),
    [
        (lambda content: b"", "truncated, or no checkpoint"),
        (lambda content: b"\x80\x04\x95 a pickle", "truncated, or no checkpoint"),
        (lambda content: b"PK\x03\x04" + bytes(200), "truncated, or no checkpoint"),
        (lambda content: safetensors.numpy.save({"W1": np.ones(3)}), "no checkpoint of a training"),
        (lambda content: rewritten(content, version="2"), "of version 2, this everygrad reads 1"),
        (lambda content: rewritten(content, content="[" * 100_000), "damaged"),
        (lambda content: signed(content, "[" * 100_000), "truncated, or no checkpoint: maximum recursion"),
        (lambda content: signed(content, '{"setting": 3}'), "no complete checkpoint"),
        (lambda content: signed(content, "[1, 2]"), "truncated, or no checkpoint"),
    ],
    ids=["empty", "pickle", "zip", "a model", "newer", "other content", "too deep", "no setting", "no dict"],
)
def test_a_foreign_file(foreign, said, whole_file):
    path, content, resume = whole_file
    path.write_bytes(foreign(content))
    with pytest.raises(FileFormatError, match=said):
        resume(checkpoint=path)


def test_a_folder_and_a_place_that_is_not_there(tmp_path, whole_file):
    with pytest.raises(FileFormatError, match="is a folder"):
        whole_file[2](checkpoint=tmp_path)
    told = []
    net, start, _ = CASES["adam"]
    with pytest.raises(InputError, match="cannot be written"):
        train(net, start, *blobs(), progress=told.append, checkpoint=tmp_path / "nowhere" / "run.ckpt")
    assert told == []


def test_nothing_is_lost_when_ones_own_function_fails(tmp_path):
    net, start, _ = CASES["adam"]
    x, y, _ = data(start)
    whole = train(net, start, x, y, epochs=4, progress=False)

    def fails(epoch):
        if epoch.epoch == 3:
            raise RuntimeError("mine")

    path = tmp_path / "run.ckpt"
    with pytest.raises(RuntimeError, match="mine") as caught:
        train(net, start, x, y, epochs=4, progress=fails, checkpoint=path, checkpoint_every=50)
    assert len(caught.value.training.history) == 3
    assert caught.value.training.interrupted
    assert "training" in caught.value.__notes__[0]
    assert_bitwise(train(net, start, x, y, epochs=4, progress=False, checkpoint=path, resume=True), whole)


def test_nothing_is_lost_when_the_disk_fails(tmp_path):
    net, start, _ = CASES["adam"]
    x, y, _ = data(start)
    folder = tmp_path / "taken away"
    folder.mkdir()

    def takes_away(epoch):
        if epoch.epoch == 2:
            (folder / "run.ckpt").unlink()
            folder.rmdir()

    with pytest.raises(InputError, match="cannot be written") as caught:
        train(net, start, x, y, epochs=9, progress=takes_away, checkpoint=folder / "run.ckpt")
    expected = train(net, start, x, y, epochs=3, progress=False)
    for name, array in expected.last.items():
        np.testing.assert_array_equal(caught.value.training.last[name], array)
    assert len(caught.value.training.history) == 3


@dataclass(frozen=True)
class ColumnOrder(Optimizer):
    """An optimiser of one's own, with momentum, whose arrays come in column order."""

    learning_rate: float = 0.1

    def init(self, params):
        return {name: np.zeros_like(p) for name, p in params.items()}

    def step(self, params, grads, state):
        after = {name: np.asfortranarray(0.9 * state[name] + grads[name]) for name in params}
        return {name: np.asfortranarray(p - self.learning_rate * after[name]) for name, p in params.items()}, after


def test_an_optimizer_of_ones_own_is_resumed(tmp_path):
    net = eg.FeedForward([5, 33, 17, 3])
    start, (x, y) = net.init(0), blobs()
    whole = train(net, start, x, y, epochs=4, optimizer=ColumnOrder(), progress=False)
    arguments = {"optimizer": ColumnOrder(), "progress": False, "checkpoint": tmp_path / "run.ckpt"}
    train(net, start, x, y, epochs=2, **arguments)
    assert_bitwise(train(net, start, x, y, epochs=4, resume=True, **arguments), whole)
    for name, array in train(net, start, x, y, epochs=4, optimizer=Momentum(0.1), progress=False).last.items():
        assert_close(whole.last[name], array, name=name)


def test_each_state_is_written_once(tmp_path, monkeypatch):
    written = []
    loop = importlib.import_module("everygrad.train.loop")  # eg.train is the function, not the package
    monkeypatch.setattr(loop, "write", lambda path, state, setting: written.append(len(state.history)))
    net, start, _ = CASES["adam"]
    x, y, _ = data(start)
    for every, expected in ((1, [0, 1, 2, 3]), (2, [0, 2, 3]), (3, [0, 3]), (50, [0, 3])):
        written.clear()
        train(net, start, x, y, epochs=3, progress=False, checkpoint=tmp_path / "run", checkpoint_every=every)
        assert written == expected
