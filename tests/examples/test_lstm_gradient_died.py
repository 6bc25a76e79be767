"""The failure of the usual recipe, and what is true: DESIGN's first paragraph with numbers of this run."""

import pytest

from examples import lstm_gradient_died as example


def test_the_recipe_shows_zeros_and_watch_what_a_loop_of_cells_shows(capsys):
    rows = example.main()
    assert rows["y.retain_grad()"] == [0, 0, 0, 0, 0, 5]
    assert rows["eg.watch, h, direct part"] == [0, 0, 0, 0, 0, 5]
    assert rows["eg.watch, h"] == pytest.approx(rows["loop of nn.LSTMCell, h"], rel=1e-5)
    assert rows["eg.watch, h"] == pytest.approx([0.018, 0.046, 0.105, 0.235, 0.480, 5.0], abs=5e-4)
    assert all(value > 0 for value in rows["eg.watch, c"])
    assert rows["eg.watch, forget gate"][0] == 0  # it multiplies c_0, which is zero
    out = capsys.readouterr().out
    assert "y.retain_grad()                0.000   0.000   0.000   0.000   0.000   5.000\n" in out
    assert "eg.watch, h                    0.018   0.046   0.105   0.235   0.480   5.000\n" in out
    assert "4 weight gradients equal autograd's" in out
    assert "ok: Healthy: the gradient reaches 6 steps of h_l0, c_l0" in out
