"""The built-in sequences against what the packages they come with say, and against plain slicing."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn.datasets

from everygrad.checks.tolerance import SINGLE, assert_close
from everygrad.data import load
from everygrad.data.series import GUNPOINT, SUNSPOTS, WINDOW, _read_ts, _read_years
from everygrad.errors import FileFormatError, InputError

ROOT = Path(__file__).parents[2]
GUNPOINT_FOLDER = Path(find_spec("sktime").submodule_search_locations[0], *GUNPOINT["sktime"])


def both(d, name: str) -> np.ndarray:
    return np.concatenate([getattr(d, f"{name}_train"), getattr(d, f"{name}_test")])


@pytest.mark.parametrize(("name", "time", "features"), [("digits-pixels", 64, 1), ("digits-rows", 8, 8)])
def test_digits_are_read_row_after_row(name, time, features):
    """Step t of the sequence against the image: pixel (t // 8, t % 8), or row t."""
    d, flat = load(name, seed=3), load("digits", seed=3)
    images = sklearn.datasets.load_digits().images
    assert both(d, "x").shape == (1797, time, features)
    assert (d.sequences, d.time, d.per_step, d.vocabulary, d.outputs) == (True, time, False, None, 10)
    assert not flat.sequences
    assert flat.time is None
    np.testing.assert_array_equal(d.y_train, flat.y_train)  # the same rows are held out
    known = {image.tobytes(): image for image in images}
    for n, row in enumerate(flat.x_train[:50]):
        image = known[(row * 16).tobytes()] / 16
        for t in range(time):
            expected = [image[t // 8, t % 8]] if features == 1 else list(image[t])
            assert d.x_train[n, t].tolist() == expected


def test_gunpoint_is_what_its_own_reader_gives():
    from sktime.datasets import load_from_tsfile

    series, labels = [], []
    for part in ("TRAIN", "TEST"):
        x, y = load_from_tsfile(str(GUNPOINT_FOLDER / f"GunPoint_{part}.ts"), return_data_type="numpy3d")
        series.append(x)
        labels += y.tolist()
    expected = np.concatenate(series).transpose(0, 2, 1)
    d = load("gunpoint", seed=1)
    assert expected.shape == (200, 150, 1)
    assert (d.task, d.classes, d.x_train.shape, d.x_test.shape) == (
        "binary",
        ("gun", "point"),
        (160, 150, 1),
        (40, 150, 1),
    )
    assert np.bincount(d.y_test).tolist() == [20, 20]
    found = d.scaling.undo(both(d, "x"))[..., 0]
    nearest = np.abs(found[:, None] - expected[None, :, :, 0]).max(-1).argmin(1)
    assert sorted(nearest.tolist()) == list(range(200))
    assert_close(found, expected[nearest, :, 0])
    names = {"1": "gun", "2": "point"}
    assert [names[labels[i]] for i in nearest] == [d.classes[k] for k in both(d, "y")]
    assert_close(d.x_train.std(), 1.0)
    assert abs(d.x_train.mean()) < 1e-13


def test_sunspots_predict_the_next_year_from_the_years_before():
    from statsmodels.datasets import sunspots

    years = sunspots.load_pandas().data["SUNACTIVITY"].to_numpy()
    d = load("sunspots", test_fraction=0.25)
    assert (d.task, d.time, d.outputs, d.rows) == ("regression", WINDOW, 1, 309 - WINDOW)
    assert len(d.x_test) == round(0.25 * (309 - WINDOW))
    x, y = d.scaling.undo(both(d, "x")), d.target_scaling.undo(both(d, "y"))
    for i in range(309 - WINDOW):
        assert_close(x[i, :, 0], years[i : i + WINDOW])
        assert_close(y[i], years[i + WINDOW : i + WINDOW + 1])
    # what is to be predicted in the end was not seen before: neither trained on nor measured
    trained = years[: len(d.x_train) + WINDOW]
    assert_close(d.target_scaling.offset[0], trained[WINDOW:].mean())
    seen = np.concatenate([years[i : i + WINDOW] for i in range(len(d.x_train))])
    assert_close(d.scaling.offset[0], seen.mean())
    assert_close(d.scaling.scale[0], seen.std())


def test_sunspots_are_split_by_time_whatever_the_seed():
    first, other = load("sunspots", seed=0), load("sunspots", seed=5)
    np.testing.assert_array_equal(first.x_test, other.x_test)
    assert len(load("sunspots", test_fraction=0).x_test) == 0
    with pytest.raises(InputError, match=r"287 rows cannot be split with test_fraction=0\.999: 287 would be held out"):
        load("sunspots", test_fraction=0.999)


def test_single_precision():
    d, double = load("sunspots", dtype="float32"), load("sunspots")
    assert d.x_train.dtype == d.y_train.dtype == np.float32
    assert_close(d.x_train, double.x_train, SINGLE)


WITHOUT_IMPORT = """
import sys
from everygrad.data import load
print(load("gunpoint").rows, load("sunspots").rows)
print(sorted({"sktime", "aeon", "statsmodels", "pandas", "sklearn", "scipy"} & set(sys.modules)))
"""


def test_the_packages_are_not_imported():
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r})\n{WITHOUT_IMPORT}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["200 287", "[]"]


def only(package: str | None, monkeypatch) -> None:
    """As if of the packages with sequences only this one were installed."""

    def found(name):
        return find_spec("sktime") if name == package else None

    monkeypatch.setattr("importlib.util.find_spec", found)


def test_aeon_will_do_as_well(monkeypatch):
    """It ships the same two files at the same place."""
    assert GUNPOINT["aeon"] == GUNPOINT["sktime"]
    expected = load("gunpoint")
    only("aeon", monkeypatch)
    d = load("gunpoint")
    assert d.source.startswith("aeon ")
    np.testing.assert_array_equal(d.x_train, expected.x_train)


@pytest.mark.parametrize(("name", "packages"), [("gunpoint", "sktime or with aeon"), ("sunspots", "statsmodels")])
def test_without_the_package(name, packages, monkeypatch):
    only(None, monkeypatch)
    expected = rf"'{name}' comes with {packages}, which is not installed: pip install 'everygrad\[sequences\]'.*\.npz"
    with pytest.raises(InputError, match=expected):
        load(name)


def test_a_package_without_the_file(monkeypatch, tmp_path):
    """Installed without its data: as if it were not there."""

    def found(name):
        return SimpleNamespace(submodule_search_locations=[str(tmp_path)])

    monkeypatch.setattr("importlib.util.find_spec", found)
    with pytest.raises(InputError, match="pip install"):
        load("gunpoint")
    tmp_path.joinpath(*SUNSPOTS["statsmodels"]).mkdir(parents=True)
    with pytest.raises(FileFormatError, match=r"sunspots\.csv: there is no such file"):
        load("sunspots")


@pytest.mark.parametrize(
    "content",
    [
        b"no data here",
        b"@data\n1,2:1\n1,2,3:2\n",
        b"@data\n1,x:1\n1,2:2\n",
        b"@data\n1,nan:1\n1,2:2\n",
        b"@data\n1,2:1\n3,4:1\n",
        b"@data\n1,2\n3,4\n",
        b"@data\n\xff\xfe\n",
        b"@data\n",
    ],
)
def test_another_file_in_the_place_of_gunpoints(content, tmp_path):
    path = tmp_path / "GunPoint_TRAIN.ts"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="is not the file that is expected there"):
        _read_ts(path)
    path.write_bytes(b"#\n@data\n1,2:1\n3,4:2\n\n")
    x, y = _read_ts(path)
    assert (x.tolist(), y.tolist()) == ([[1.0, 2.0], [3.0, 4.0]], [1, 2])


@pytest.mark.parametrize(
    "rows",
    [
        [[1700 + i, i] for i in range(20)],  # too few for one window
        [[1700 + 2 * i, i] for i in range(50)],
        [[1700 + i, "nan"] for i in range(50)],
        [[1700 + i, i, 0] for i in range(50)],
        [["a", i] for i in range(50)],
        [],
    ],
)
def test_another_file_in_the_place_of_the_sunspots(rows, tmp_path):
    path = tmp_path / "sunspots.csv"

    def write(lines):
        path.write_text("YEAR,SUNACTIVITY\n" + "".join(",".join(map(str, line)) + "\n" for line in lines))
        return path

    with pytest.raises(FileFormatError, match="is not the file that is expected there"):
        _read_years(write(rows))
    assert _read_years(write([[1700 + i, i / 2] for i in range(30)])).tolist() == [i / 2 for i in range(30)]


def test_what_is_said_of_sequences():
    d = load("digits-rows")
    assert str(d).startswith("digits-rows: 10 classes, 8 steps of 8 features, 1438 rows to train on, 359 held out")
    assert str(load("sunspots")).startswith("sunspots: regression, 22 steps of 1 feature, ")
    assert d.describe()["time"] == 8
    assert "time" not in load("wine").describe()
    assert d.training.keys() == d.held_out.keys() == {"x", "y"}
    assert d.held_out["x"] is d.x_test


def test_what_was_asked_for():
    assert load("digits-pixels", sequences=True).sequences
    assert not load("digits", sequences=False).sequences
    with pytest.raises(InputError, match=r"wine has rows of features, not sequences: take digits-pix.*or an \.npz"):
        load("wine", sequences=True)
    with pytest.raises(InputError, match="gunpoint has sequences, not rows of features: take digits, wine, "):
        load("gunpoint", sequences=False)


def test_a_task_of_ones_own():
    d = load("digits-rows", task="regression")
    assert (d.task, d.y_train.shape) == ("regression", (1438, 1))
