"""What is kept on disk: hidden gradients, and the sums so far, from which interrupted work goes on."""

import numpy as np
import pytest
import torch

import everygrad as eg
from everygrad.batches import folder as folders
from everygrad.checks.tolerance import assert_close
from everygrad.errors import FileFormatError, InputError, UnknownNameError


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    net = eg.FeedForward([4, 6, 3], weighted=True)
    arrays = [rng.normal(size=(20, 4)), rng.integers(0, 3, 20), rng.uniform(0.1, 2.0, 20)]
    return net, net.init(0), arrays


def broken(chunks, after):
    """The first chunks, then an error."""
    for i, chunk in enumerate(chunks):
        if i == after:
            raise OSError("the disk is gone")
        yield chunk


def bits(g):
    return {"loss": np.asarray(g.loss).tobytes(), **{name: np.asarray(array).tobytes() for name, array in g.items()}}


# ------------------------------------------------------------------------------------------- hidden gradients


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_kept_are_the_rows_of_the_whole_batch(case, tmp_path, workers):
    net, params, arrays = case
    chunks = eg.chunks(*arrays, size=6)
    g = eg.gradients_of_chunks(net, params, chunks, workers=workers, keep=["h1", "x", "a2"], folder=tmp_path / "g")
    reference = eg.gradients(net, params, *arrays)
    kept = list(g.kept())
    assert [sorted(part) for part in kept] == [["a2", "h0", "h1"]] * 4  # an alias is kept under the graph's name
    for name in ("h0", "h1", "a2"):
        assert_close(np.concatenate([part[name] for part in kept]), reference[name], name=name)
    files = sorted(path.name for path in (tmp_path / "g").iterdir())
    assert files == [*(f"chunk-{i:06}.npz" for i in range(4)), "sums.npz"]


def test_files_hold_the_gradients_of_the_sum(case, tmp_path):
    net, params, arrays = case
    g = eg.gradients_of_chunks(net, params, eg.chunks(*arrays, size=20), keep=["h1"], folder=tmp_path)
    with np.load(tmp_path / "chunk-000000.npz", allow_pickle=False) as stored:
        assert stored.files == ["h1"]
        assert_close(stored["h1"] / arrays[2].sum(), eg.gradients(net, params, *arrays)["h1"])
    assert_close(g.divided_by, arrays[2].sum())


def test_float32_and_torch_over_time(tmp_path):
    rng = np.random.default_rng(0)
    net = eg.Recurrent(eg.Elman(3, 4), outputs=2, read="each")
    params = {name: torch.from_numpy(p) for name, p in net.init(0, np.float32).items()}
    x, y = torch.from_numpy(rng.normal(size=(7, 5, 3)).astype(np.float32)), torch.from_numpy(rng.integers(0, 2, (7, 5)))
    g = eg.gradients_of_chunks(net, params, eg.chunks(x, y, size=3), keep=["h"], folder=tmp_path)
    kept = np.concatenate([part["h"] for part in g.kept()])
    assert kept.dtype == np.float32
    assert_close(kept, eg.gradients(net, params, x, y)["h"].numpy(), 1e-5)


def test_labels_have_no_gradient_to_keep(case, tmp_path):
    net, params, arrays = case
    with pytest.raises(UnknownNameError, match="chunk 0: 'y' has no gradient"):
        eg.gradients_of_chunks(net, params, eg.chunks(*arrays, size=6), keep=["y"], folder=tmp_path)


def test_a_file_that_is_gone_or_damaged(case, tmp_path):
    net, params, arrays = case
    g = eg.gradients_of_chunks(net, params, eg.chunks(*arrays, size=6), keep=["h1"], folder=tmp_path)
    (tmp_path / "chunk-000001.npz").write_bytes(b"PK nonsense")
    (tmp_path / "chunk-000002.npz").unlink()
    rows = g.kept()
    next(rows)
    with pytest.raises(FileFormatError, match=r"chunk-000001\.npz cannot be read"):
        next(rows)
    (tmp_path / "chunk-000001.npz").unlink()
    with pytest.raises(FileFormatError, match=r"chunk-000001\.npz: there is no such file"):
        list(g.kept())


# ------------------------------------------------------------------------------------------------ interruption


@pytest.mark.parametrize("library", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("after", range(8))
def test_interrupted_work_goes_on_with_the_same_bits(case, tmp_path, after, workers, library):
    net, params, arrays = case
    params = {name: library(p) for name, p in params.items()}
    chunks = eg.chunks(*map(library, arrays), size=3)
    reference = eg.gradients_of_chunks(net, params, chunks)
    computed = []
    options = {"folder": tmp_path / "g", "keep": ["h1"], "workers": workers}
    options["each"] = lambda i, g: computed.append(i)
    if after < len(chunks):
        with pytest.raises(OSError, match="the disk is gone"):
            eg.gradients_of_chunks(net, params, broken(chunks, after), **options)
        assert computed == list(range(after))
    told = []
    g = eg.gradients_of_chunks(net, params, chunks, resume=True, progress=lambda *at: told.append(at), **options)
    assert computed == list(range(7))  # each chunk once
    assert told == [(i + 1, 7) for i in range(7)]
    assert bits(g) == bits(reference)
    assert (g.samples, g.chunks) == (20, 7)
    assert type(g["W1"]) is type(params["W1"])
    h1 = np.concatenate([part["h1"] for part in g.kept()])
    assert_close(h1, eg.gradients(net, case[1], *arrays)["h1"])


@pytest.mark.parametrize("workers", [1, 2])
def test_control_c_loses_nothing(case, tmp_path, workers):
    net, params, arrays = case
    chunks = eg.chunks(*arrays, size=3)

    def pressed(done, total):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        eg.gradients_of_chunks(net, params, chunks, folder=tmp_path, progress=pressed, workers=workers)
    computed = []
    g = eg.gradients_of_chunks(net, params, chunks, folder=tmp_path, resume=True, each=lambda i, _: computed.append(i))
    assert computed == [4, 5, 6]
    assert bits(g) == bits(eg.gradients_of_chunks(net, params, chunks))


def test_an_error_of_ones_own_function_loses_nothing(case, tmp_path):
    """The chunk that it failed for is handed over again."""
    net, params, arrays = case
    chunks, seen = eg.chunks(*arrays, size=3), []

    def fails_once(i, g):
        seen.append(i)
        if seen == [0, 1, 2]:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        eg.gradients_of_chunks(net, params, chunks, folder=tmp_path, each=fails_once)
    g = eg.gradients_of_chunks(net, params, chunks, folder=tmp_path, each=fails_once, resume=True)
    assert seen == [0, 1, 2, 2, 3, 4, 5, 6]
    assert bits(g) == bits(eg.gradients_of_chunks(net, params, chunks))


def test_finished_work_is_not_done_again_and_can_be_added_to(case, tmp_path):
    net, params, arrays = case
    chunks, computed = list(eg.chunks(*arrays, size=3)), []
    options = {"folder": tmp_path, "resume": True, "each": lambda i, g: computed.append(i)}
    first = eg.gradients_of_chunks(net, params, chunks[:5], **options)
    again = eg.gradients_of_chunks(net, params, chunks[:5], **options)
    assert bits(first) == bits(again)
    more = eg.gradients_of_chunks(net, params, chunks, **options)
    assert computed == list(range(7))
    assert bits(more) == bits(eg.gradients_of_chunks(net, params, chunks))


def test_the_sums_are_written_while_the_work_goes_on(case, tmp_path, monkeypatch):
    net, params, arrays = case
    chunks, there = eg.chunks(*arrays, size=3), []
    for every, expected in ((0.0, [True] * 7), (1e9, [False] * 7)):
        monkeypatch.setattr(folders, "EVERY", every)
        path = tmp_path / str(every)
        there.clear()
        eg.gradients_of_chunks(
            net, params, chunks, folder=path, progress=lambda *_, p=path: there.append((p / "sums.npz").exists())
        )
        assert there == expected
        assert (path / "sums.npz").exists()


# ----------------------------------------------------------------------------------------------- other work


def test_sums_are_not_written_over(case, tmp_path):
    net, params, arrays = case
    chunks = eg.chunks(*arrays, size=3)
    eg.gradients_of_chunks(net, params, chunks, folder=tmp_path)
    with pytest.raises(InputError, match=r"sums\.npz is there already: resume=True goes on with it"):
        eg.gradients_of_chunks(net, params, chunks, folder=tmp_path)


def changed_parameter(net, params, arrays):
    return net, {**params, "b1": params["b1"] + 1e-9}, arrays, {}


def changed_loss(net, params, arrays):
    return eg.FeedForward([4, 6, 3], "relu", weighted=True), params, arrays, {}


def changed_keep(net, params, arrays):
    return net, params, arrays, {"keep": ["h1"]}


@pytest.mark.parametrize("change", [changed_parameter, changed_loss, changed_keep])
def test_other_work_does_not_go_on_from_it(case, tmp_path, change):
    net, params, arrays = case
    eg.gradients_of_chunks(net, params, eg.chunks(*arrays, size=3), folder=tmp_path)
    net, params, arrays, options = change(net, params, arrays)
    with pytest.raises(InputError, match="belongs to other work: the network, the parameters or keep= differ"):
        eg.gradients_of_chunks(net, params, eg.chunks(*arrays, size=3), folder=tmp_path, resume=True, **options)


def test_other_data_does_not_go_on_from_it(case, tmp_path):
    net, params, (x, y, w) = case
    with pytest.raises(OSError, match="the disk is gone"):
        eg.gradients_of_chunks(net, params, broken(eg.chunks(x, y, w, size=3), 4), folder=tmp_path)
    wrong = x.copy()
    wrong[2, 1] += 1e-9
    with pytest.raises(InputError, match="the first 4 chunks are not those that were summed there"):
        eg.gradients_of_chunks(net, params, eg.chunks(wrong, y, w, size=3), folder=tmp_path, resume=True)
    with pytest.raises(InputError, match="the first 4 chunks are not those that were summed there"):
        eg.gradients_of_chunks(net, params, eg.chunks(x, y, w, size=4), folder=tmp_path, resume=True)
    with pytest.raises(InputError, match="holds the sums of 4 chunks, but only 2 came"):
        eg.gradients_of_chunks(net, params, eg.chunks(x[:6], y[:6], w[:6], size=3), folder=tmp_path, resume=True)
    g = eg.gradients_of_chunks(net, params, eg.chunks(x, y, w, size=3), folder=tmp_path, resume=True)
    assert bits(g) == bits(eg.gradients_of_chunks(net, params, eg.chunks(x, y, w, size=3)))


def test_damaged_sums(case, tmp_path):
    net, params, arrays = case
    chunks = eg.chunks(*arrays, size=3)
    eg.gradients_of_chunks(net, params, chunks, folder=tmp_path)
    file = tmp_path / "sums.npz"
    content = file.read_bytes()
    for wrong in (content[:-100], b"", b"PK nonsense"):
        file.write_bytes(wrong)
        with pytest.raises(FileFormatError):
            eg.gradients_of_chunks(net, params, chunks, folder=tmp_path, resume=True)
    np.savez(file, format=np.array(folders.FORMAT))
    with pytest.raises(FileFormatError, match=r"is not complete: .* is missing"):
        eg.gradients_of_chunks(net, params, chunks, folder=tmp_path, resume=True)
    np.savez(file, format=np.array("other"))
    with pytest.raises(FileFormatError, match="holds no sums over chunks that this everygrad reads: other"):
        eg.gradients_of_chunks(net, params, chunks, folder=tmp_path, resume=True)


def test_a_folder_that_cannot_be(case, tmp_path):
    net, params, arrays = case
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="file is a file: give folder= the name of a folder"):
        eg.gradients_of_chunks(net, params, eg.chunks(*arrays, size=3), folder=tmp_path / "file")
    with pytest.raises(InputError, match="cannot be made: No such file or directory"):
        eg.gradients_of_chunks(net, params, eg.chunks(*arrays, size=3), folder=tmp_path / "no" / "such")
