"""Arrays in chunks: every sample once, in order, and nothing read before its turn."""

import numpy as np
import pytest
import torch

from everygrad.batches import chunks
from everygrad.errors import InputError


@pytest.mark.parametrize("samples", [1, 2, 6, 7, 8])
@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_every_sample_once_and_in_order(samples, size):
    x, y = np.arange(2.0 * samples).reshape(samples, 2), np.arange(samples)
    found = chunks(x, y, size=size)
    for _ in range(2):  # it can be gone through again
        parts = list(found)
        assert len(parts) == len(found)
        assert all(len(part[1]) == size for part in parts[:-1])
        assert 1 <= len(parts[-1][1]) <= size
        np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), x)
        np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), y)


def test_by_name():
    x, y = np.ones((5, 2)), np.arange(5)
    parts = list(chunks(y=y, x=x, size=2))
    assert [sorted(part) for part in parts] == [["x", "y"]] * 3
    np.testing.assert_array_equal(parts[2]["y"], [4])


def test_parts_of_arrays_in_memory_are_views():
    x = np.ones((5, 2))
    assert all(np.shares_memory(part[0], x) for part in chunks(x, size=2))
    t = torch.ones(5, 2)
    parts = [part[0] for part in chunks(t, size=2)]
    assert all(isinstance(part, torch.Tensor) for part in parts)
    assert [part.data_ptr() for part in parts] == [t.data_ptr(), t[2:].data_ptr(), t[4:].data_ptr()]


def test_a_file_mapped_into_memory_gives_plain_arrays(tmp_path):
    x = np.memmap(tmp_path / "x.bin", np.float64, "w+", shape=(5, 2))
    x[:] = np.arange(10.0).reshape(5, 2)
    parts = [part[0] for part in chunks(x, size=2)]
    assert {type(part) for part in parts} == {np.ndarray}
    np.testing.assert_array_equal(np.concatenate(parts), x)


class OnDisk:
    """As a data set of h5py: a shape, and arrays when it is sliced."""

    def __init__(self, array):
        self.array, self.shape, self.read = array, array.shape, []

    def __getitem__(self, rows):
        self.read.append((rows.start, rows.stop))
        return self.array[rows].copy()


def test_what_is_on_disk_is_read_in_its_turn():
    x = OnDisk(np.arange(10.0).reshape(5, 2))
    source = iter(chunks(x, size=2))
    assert x.read == []
    np.testing.assert_array_equal(next(source)[0], x.array[:2])
    assert x.read == [(0, 2)]
    assert len(list(source)) == 2
    assert x.read == [(0, 2), (2, 4), (4, 5)]


def test_it_says_what_it_is():
    assert repr(chunks(np.ones((5000, 2)), size=1024)) == "Chunks(5,000 samples in 5 chunks of 1,024)"


@pytest.mark.parametrize(
    ("data", "named", "problems"),
    [
        ((), {"size": 3}, ["no data: eg.chunks(x, y, size=1024)"]),
        ((np.ones(3),), {"size": 0}, ["size=0: expected a whole number of samples, at least 1"]),
        ((np.ones(3),), {"size": 2.0}, ["size=2.0: expected a whole number of samples, at least 1"]),
        ((np.ones(3),), {"size": True}, ["size=True: expected a whole number of samples, at least 1"]),
        (
            (np.ones(3),),
            {"size": 1, "y": np.ones(3)},
            ["1 arrays by position and y by name: give all by name, or none"],
        ),
        (([1.0, 2.0],), {"size": 1}, ["array 0 is a list, expected an array: numpy.asarray(...)"]),
        ((np.float64(2.0),), {"size": 1}, ["array 0 is a single number, expected one row per sample"]),
        ((np.ones((0, 3)),), {"size": 1}, ["array 0 has no sample, shape (0, 3)"]),
        (
            (np.ones(3), np.ones(4)),
            {"size": -1},
            [
                "size=-1: expected a whole number of samples, at least 1",
                "data of different numbers of samples: array 0 has 3, array 1 has 4",
            ],
        ),
    ],
)
def test_bad_input(data, named, problems):
    with pytest.raises(InputError) as caught:
        chunks(*data, **named)
    head, *lines = str(caught.value).splitlines()
    assert head == f"chunks: {len(problems)} problem{'s' if len(problems) > 1 else ''}"
    assert lines == [f"  - {text}" for text in problems]
