"""NumPy archives: what is read, and what is refused; nothing is unpickled."""

import io
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everygrad.checks.tolerance import assert_close
from everygrad.data import load
from everygrad.errors import EverygradError, FileFormatError, InputError, NonFiniteError, UnknownNameError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 3))
Y = np.arange(20) % 4


@pytest.fixture
def write(tmp_path):
    def writing(**arrays):
        path = tmp_path / "set.npz"
        np.savez(path, **arrays)
        return path

    return writing


def same_rows(d, x, labels) -> bool:
    found = d.scaling.undo(np.concatenate([d.x_train, d.x_test])).round(9).tolist()
    y = np.concatenate([d.y_train, d.y_test]).tolist()
    expected = zip(np.asarray(x, float).reshape(len(x), -1).round(9).tolist(), labels.tolist(), strict=True)
    return sorted(zip(found, y, strict=True)) == sorted(expected)


@pytest.mark.parametrize("names", [("x", "y"), ("X", "y"), ("X", "Y")], ids="-".join)
@pytest.mark.parametrize("compress", [False, True])
def test_x_and_y(tmp_path, names, compress):
    save = np.savez_compressed if compress else np.savez
    save(tmp_path / "set.npz", **dict(zip(names, (X, Y), strict=True)))
    d = load(tmp_path / "set.npz")
    assert (d.name, d.task, d.source) == ("set", "classification", "set.npz")
    assert (d.classes, d.features) == (("0", "1", "2", "3"), ("x0", "x1", "x2"))
    assert d.y_train.dtype == np.int64
    assert same_rows(d, X, Y)


KINDS = {
    "int8": Y.astype(np.int8),
    "big-endian": Y.astype(">i4"),
    "column": Y[:, None],
    "unsigned": Y.astype(np.uint64),
    "shifted": Y * 10 - 5,
}


@pytest.mark.parametrize("y", KINDS.values(), ids=KINDS)
def test_kinds_of_labels(write, y):
    d = load(write(x=X, y=y))
    assert d.classes == tuple(str(v) for v in sorted({int(v) for v in y.ravel()}))
    assert same_rows(d, X, Y)


def test_labels_of_text_and_of_truth(write):
    d = load(write(x=X, y=np.array(["no", "yes"])[Y % 2]))
    assert (d.task, d.classes) == ("binary", ("no", "yes"))
    assert same_rows(d, X, Y % 2)
    assert load(write(x=X, y=Y % 2 == 1)).task == "binary"


def test_names_of_classes_and_features(write):
    d = load(write(x=X, y=Y, classes=np.array(["a", "b", "c", "d"]), features=np.array(["u", "v", "w"])))
    assert (d.classes, d.features) == (("a", "b", "c", "d"), ("u", "v", "w"))
    with pytest.raises(InputError, match="1 class has no sample to train on: 'e'"):
        load(write(x=X, y=Y, classes=np.array(list("abcde"))))
    with pytest.raises(InputError, match=r"3 class names are given, so 'y' must hold whole numbers in \[0, 3\)"):
        load(write(x=X, y=Y, classes=np.array(list("abc"))))
    with pytest.raises(FileFormatError, match=r"'features' has shape \(2,\), <U1, expected 3 names"):
        load(write(x=X, y=Y, features=np.array(["u", "v"])))
    with pytest.raises(FileFormatError, match="'classes' has shape"):
        load(write(x=X, y=Y, classes=np.zeros(4)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, ">f8", np.uint8, bool])
def test_kinds_of_features(write, dtype):
    x = (X * 50 + 120).astype(dtype)
    x[0] = 0
    assert same_rows(load(write(x=x, y=Y)), x, Y)


def test_images_become_rows(write):
    x = RNG.normal(size=(20, 2, 3))
    d = load(write(x=x, y=Y))
    assert d.x_train.shape == (16, 6)
    assert same_rows(d, x, Y)


def test_a_split_is_kept(write):
    d = load(write(x_train=X[:12], y_train=Y[:12], x_test=X[12:], y_test=Y[12:]), seed=9, test_fraction=0.9)
    assert_close(d.x_train, (X[:12] - X[:12].mean(0)) / X[:12].std(0))
    assert_close(d.x_test, (X[12:] - X[:12].mean(0)) / X[:12].std(0))
    assert (d.y_train.tolist(), d.y_test.tolist()) == (Y[:12].tolist(), Y[12:].tolist())
    with pytest.raises(InputError, match="1 class has no sample to train on: '3'"):
        load(write(x_train=X[:3], y_train=Y[:3], x_test=X[3:], y_test=Y[3:]), task="classification")


def test_a_regression(write):
    y = RNG.normal(3.0, 2.0, size=(20, 2))
    d = load(write(x=X, y=y), test_fraction=0.25)
    assert (d.task, d.y_train.shape, d.y_test.shape, d.outputs) == ("regression", (15, 2), (5, 2), 2)
    back = d.target_scaling.undo(np.concatenate([d.y_train, d.y_test]))
    assert_close(back[np.argsort(back[:, 0])], y[np.argsort(y[:, 0])])
    assert load(write(x=X, y=y[:, 0])).y_train.shape == (16, 1)


def test_another_array_may_be_the_target(write):
    d = load(write(x=X, y=Y, price=X[:, 0] * 2), target="price")
    assert (d.task, d.target) == ("regression", "price")
    with pytest.raises(UnknownNameError, match=r"unknown target array 'prise'. Did you mean 'price'"):
        load(write(x=X, price=X[:, 0]), target="prise")
    with pytest.raises(InputError, match=r"target=0: the target of an .npz file is an array"):
        load(write(x=X, y=Y), target=0)


WRONG = {
    "no y": ({"x": X, "z": Y}, FileFormatError, "'y' is missing, found 'x', 'z': an .npz file of data needs"),
    "half a split": ({"x_train": X, "y_train": Y}, FileFormatError, "'x_test', 'y_test' is missing"),
    "x and X": ({"x": X, "X": X, "y": Y}, FileFormatError, "two arrays are named 'x'"),
    "rows": ({"x": X[:5], "y": Y}, FileFormatError, "'x' has 5 rows, 'y' has 20"),
    "flat": ({"x": X[:, 0], "y": Y}, FileFormatError, r"'x' has shape \(20,\), expected \(rows, features\)"),
    "empty": ({"x": X[:0], "y": Y[:0]}, FileFormatError, r"2 problems\n.*'x' has shape \(0, 3\)"),
    "complex": ({"x": X + 0j, "y": Y}, FileFormatError, "'x' has dtype complex128, expected real"),
    "text": ({"x": X.astype(str), "y": Y}, FileFormatError, "'x' has dtype <U"),
    "bytes": ({"x": X, "y": Y.astype("S")}, FileFormatError, "'y' has dtype .S21, expected numbers or text"),
    "several": ({"x": X[:5, 0], "y": Y + 0j}, FileFormatError, "3 problems"),
    "nan": ({"x": np.where(X[4, 1] == X, np.nan, X), "y": Y}, NonFiniteError, r"x\[4, 1\] = nan$"),
    "inf": ({"x": np.where(X > 0, np.inf, X), "y": Y}, NonFiniteError, r"x\[0, 0\] = inf, and \d+ more of 60"),
    "nan target": ({"x": X, "y": np.full(20, np.nan)}, NonFiniteError, r"y\[0\] = nan, and 19 more of 20"),
    "one-hot": (
        {"x": X, "y": np.eye(4, dtype=int)[Y]},
        InputError,
        r"one per row \(of one-hot rows take y.argmax\(1\)\)",
    ),
    "one class": ({"x": X, "y": np.zeros(20, int)}, InputError, "one value only, 0"),
    "cube": ({"x": X, "y": np.zeros((20, 2, 2))}, FileFormatError, r"'y' has shape \(20, 2, 2\)"),
    "widths": (
        {"x_train": X, "y_train": Y, "x_test": X[:, :2], "y_test": Y},
        FileFormatError,
        r"x_train has rows of shape \(3,\), x_test \(2,\)",
    ),
}


@pytest.mark.parametrize(("arrays", "error", "message"), WRONG.values(), ids=WRONG)
def test_what_is_refused(write, arrays, error, message):
    with pytest.raises(error, match=message) as caught:
        load(write(**arrays))
    assert type(caught.value) is error


class Explodes:
    def __init__(self, where):
        self.where = where

    def __reduce__(self):
        return (open, (str(self.where), "w"))


def test_nothing_is_unpickled(write, tmp_path):
    harm = tmp_path / "harm"
    objects = np.array([Explodes(harm)] * 20, dtype=object)
    with pytest.raises(FileFormatError, match="'y' holds Python objects, which are not read"):
        load(write(x=X, y=objects))
    (tmp_path / "plain.npz").write_bytes(pickle.dumps({"x": Explodes(harm)}))
    with pytest.raises(FileFormatError, match=r"is not an .npz file"):
        load(tmp_path / "plain.npz")
    assert not harm.exists()


def archive(tmp_path, **members: bytes):
    path = tmp_path / "made.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def npy(array: np.ndarray, shape: str | None = None) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array)
    content = file.getvalue()
    if shape is None:
        return content
    told = str(array.shape).encode()
    padding = len(shape) - len(told)  # the header keeps its length
    return content.replace(told, shape.encode(), 1).replace(b" " * (padding + 1) + b"\n", b" \n", 1)


def test_an_array_that_claims_too_much(tmp_path):
    assert load(archive(tmp_path, x=npy(X), y=npy(Y))).rows == 20  # what is made here is good otherwise
    for shape in ("(20, 4)", "(2000000000000, 3)", "(20, -3)"):
        with pytest.raises(FileFormatError, match="bytes, has 480"):
            load(archive(tmp_path, x=npy(X, shape), y=npy(Y)))
    for content, message in [(b"not an array", "'x.npy' is not a NumPy array"), (npy(X)[:20], "damaged")]:
        with pytest.raises(FileFormatError, match=message):
            load(archive(tmp_path, x=content, y=npy(Y)))


def test_a_bomb(tmp_path):
    """A megabyte of zeros takes a kilobyte: the limit holds for what is unpacked, over all arrays together."""
    path = archive(tmp_path, x=npy(np.zeros((1000, 125))), y=npy(np.zeros(1000)))
    assert path.stat().st_size < 10_000
    with pytest.raises(FileFormatError, match=r"'x' unpacks to 1,000,128 bytes: raise the limit with max_bytes="):
        load(path, max_bytes=100_000)
    with pytest.raises(FileFormatError, match="'y' unpacks to 8,128 bytes"):
        load(path, max_bytes=1_001_000)


def test_files_that_are_not_archives(tmp_path):
    for content, message in [(b"", "is empty"), (b"x,y\n1,2\n", "not an .npz file"), (b"PK\x03\x04" * 9, "is damaged")]:
        (tmp_path / "set.npz").write_bytes(content)
        with pytest.raises(FileFormatError, match=message):
            load(tmp_path / "set.npz")
    with pytest.raises(FileFormatError, match="no such file"):
        load(tmp_path / "missing.npz")


@settings(max_examples=200)
@given(position=st.floats(0, 1, exclude_max=True), new=st.binary(min_size=1, max_size=8), cut=st.booleans())
def test_damage_is_refused_or_harmless(tmp_path_factory, position, new, cut):
    """The archive keeps a checksum of each array: what is read is what was written."""
    folder = tmp_path_factory.getbasetemp()
    np.savez(folder / "good.npz", x=X, y=Y)
    content = (folder / "good.npz").read_bytes()
    at = int(position * len(content))
    (folder / "bad.npz").write_bytes(content[:at] if cut else content[:at] + new + content[at + len(new) :])
    try:
        d = load(folder / "bad.npz")
    except EverygradError:
        return
    assert same_rows(d, X, Y)
