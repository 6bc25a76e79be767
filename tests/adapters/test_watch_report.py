"""What is said about a watched model: the text, the verdict, the page and its numbers."""

import json

import jsonschema
import numpy as np
import pytest
import torch
from torch import nn

import everygrad as eg
from everygrad.checks.tolerance import FRAMEWORK, assert_close
from everygrad.report import schema


class Reader(nn.Module):
    """Two recurrent layers of which one is called twice, a loop of cells, and what reads them."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(4, 2)
        self.cell = nn.GRUCell(6, 4)
        self.rnn = nn.RNN(6, 6, batch_first=True)
        self.lstm = nn.LSTM(3, 3, 2, batch_first=True, bidirectional=True)

    def forward(self, x):
        y, _ = self.lstm(x)
        y, _ = self.rnn(y)
        y, _ = self.rnn(y)
        h = None
        for step in y.unbind(1):
            h = self.cell(step, h)
        return self.out(h)


def seen_of(model, x):
    with eg.watch(model) as seen:
        model(x).square().sum().backward()
    return seen


@pytest.fixture(scope="module")
def seen():
    torch.manual_seed(0)
    return seen_of(Reader().double(), torch.randn(3, 7, 3, dtype=torch.float64))


def rms(g):
    return float(g.square().mean().sqrt())


def test_the_text_has_a_row_for_each_layer_and_direction_in_order_of_the_calls(seen):
    lines = str(seen).splitlines()
    assert lines[0] == "Reader: RMS of gradients per unit and sample"
    rows = [line.split() for line in lines[3:] if not line.startswith("note") and "autograd" not in line]
    assert [(row[0], row[2]) for row in rows] == [
        *(("lstm", f"{s}_{layer}") for layer in ("l0", "l0_reverse", "l1", "l1_reverse") for s in "hc"),
        ("rnn[0]", "h_l0"),
        ("rnn[1]", "h_l0"),
        ("cell", "h"),
        ("out", "output"),
    ]
    by_name = {(row[0], row[2]): row for row in rows}
    layer = seen["lstm"]
    numbers = [layer.direct["h_l0"][:, 0], layer.direct["h_l0"][:, -1], layer["h_l0"][:, 0], layer["h_l0"][:, -1]]
    assert by_name["lstm", "h_l0"][3:] == ["7", *(f"{rms(g):.3g}" for g in numbers)]
    assert by_name["cell", "h"][3:] == [
        "7",
        "0",
        *(f"{rms(seen['cell'][q][-1]):.3g}" for q in "h"),
        *by_name["cell", "h"][6:],
    ]
    assert by_name["out", "output"][3:] == [f"{rms(seen['out']['output']):.3g}"]
    assert lines[-1].startswith("24 weight gradients equal autograd's: largest difference ")


def test_the_records_for_the_analyses_are_batch_first_in_the_order_of_time(seen):
    parts = {part.label: part for part in seen.unrolled()}
    assert list(parts) == [
        "lstm.l0",
        "lstm.l0_reverse",
        "lstm.l1",
        "lstm.l1_reverse",
        "rnn[0].l0",
        "rnn[1].l0",
        "cell",
    ]
    layer = seen["lstm"]
    for label, suffix in (("lstm.l0", "_l0"), ("lstm.l1_reverse", "_l1_reverse")):
        part = parts[label]
        assert part.reverse == label.endswith("reverse")
        assert set(part.squashes) >= {"i", "f", "g", "o"}
        for q in ("h", "c", "i", "a_f"):
            assert_close(part.total[q], layer[f"{q}{suffix}"], FRAMEWORK, q)
            assert_close(part.direct[q], layer.direct[f"{q}{suffix}"], FRAMEWORK, q)
            assert_close(part.values[q], layer.values[f"{q}{suffix}"], FRAMEWORK, q)
    assert_close(parts["cell"].total["h"], seen["cell"]["h"].transpose(0, 1), FRAMEWORK)


def test_a_network_that_forgets_is_found_out(tmp_path):
    torch.manual_seed(1)
    model = nn.ModuleDict({"memory": nn.LSTM(2, 8, batch_first=True)})
    with torch.no_grad():
        model["memory"].bias_ih_l0[8:16] = -4.0  # the forget gate is shut
    with eg.watch(model) as seen:
        output, _ = model["memory"](torch.randn(4, 40, 2))
        output[:, -1].square().sum().backward()
    verdict = seen.verdict()
    assert verdict.level == "error"
    assert verdict.findings[0].layer == "l0"
    assert "f_l0" in verdict.headline
    page = seen.report(tmp_path / "page.html").read_text("utf-8")
    assert verdict.headline.split(":")[0] in page
    assert "All 4 gradients agree with the oracle (autograd&#x27;s weight gradients)" in page


def test_packed_sequences_have_a_mask(tmp_path):
    torch.manual_seed(2)
    model = nn.GRU(2, 3, bidirectional=True)
    sequences = [torch.randn(n, 2) for n in (2, 5, 3)]
    with eg.watch(model) as seen:
        output, _ = model(nn.utils.rnn.pack_sequence(sequences, enforce_sorted=False))
        output.data.square().sum().backward()
    for part in seen.unrolled():
        assert np.asarray(part.mask).sum(1).tolist() == [2, 5, 3]
        assert np.asarray(part.mask)[0].tolist() == [True, True, False, False, False]
    seen.report(tmp_path / "page.html")


def test_the_numbers_fit_their_schema(seen, tmp_path):
    whole = json.loads(seen.report(tmp_path / "page.json").read_text("utf-8"))
    jsonschema.validate(whole, schema())
    record = whole["report"]
    assert record["loss"] is None
    assert [layer["label"] for layer in record["time"]] == [part.label for part in seen.unrolled()]
    norms = {row["name"]: row["norm"] for row in record["quantities"]}
    assert norms["lstm.weight_hh_l1"] == pytest.approx(float(seen["lstm"]["weight_hh_l1"].norm()), rel=1e-12)
    assert norms["rnn[1].h_l0"] == pytest.approx(float(seen["rnn"].calls[1]["h_l0"].norm()), rel=1e-12)


def test_a_weight_with_another_use_is_not_called_wrong(tmp_path):
    model = nn.GRU(2, 3)
    with eg.watch(model) as seen:
        (model(torch.randn(4, 1, 2))[0].sum() + model.weight_hh_l0.sum()).backward()
    page = seen.report(tmp_path / "page.html").read_text("utf-8")
    assert "oracle" not in page
    assert "A gradient is wrong" not in page


def test_names_are_escaped(tmp_path):
    kind = type("<script>alert(1)</script>", (nn.Module,), {})
    model = kind()
    model.add_module("<b>lstm", nn.LSTM(2, 3))
    with eg.watch(model) as seen:
        getattr(model, "<b>lstm")(torch.randn(4, 1, 2))[0].sum().backward()
    page = seen.report(tmp_path / "page.html").read_text("utf-8")
    assert "<script>alert" not in page
    assert "<b>lstm" not in page
    assert "&lt;script&gt;alert" in page


def test_a_path_that_cannot_be_written(seen, tmp_path):
    with pytest.raises(eg.errors.InputError, match="is a folder"):
        seen.report(tmp_path)
    with pytest.raises(eg.errors.InputError, match="does not exist"):
        seen.report(tmp_path / "missing" / "page.html")
