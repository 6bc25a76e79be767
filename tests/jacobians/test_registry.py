"""A table keeps the first rule of a pair and the names of what it gives."""

import pytest

from everygrad.jacobians.registry import ADD, COMPOSE, Entry, Table


class Left:
    pass


class Right:
    pass


def test_registering():
    table = Table("*")
    assert (table.symbol, table.entries) == ("*", {})

    @table.register((Left,), (Left, Right), "left", "Sum")
    def first(J, K):
        return "first", J, K

    @table.register((Left, Right), (Right,), "right")
    @table.register((Right,), (Left,), "other")
    def second(J, K):
        return "second", J, K

    assert set(table.entries) == {(Left, Left), (Left, Right), (Right, Left), (Right, Right)}
    assert table.entries[Left, Left] == Entry(first, ("Left", "Sum"))
    assert table.entries[Left, Right] == Entry(first, ("Left", "Sum"))
    assert table.entries[Right, Left] == Entry(second, ("other",))
    assert table.entries[Right, Right] == Entry(second, ("Right",))
    J, K = Left(), Right()
    assert table.apply(J, K) == ("first", J, K)
    assert table.apply(K, J) == ("second", K, J)
    with pytest.raises(KeyError):
        table.apply(J, 3)


def test_the_two_tables():
    assert (COMPOSE.symbol, ADD.symbol) == ("∘", "+")
    assert Table("*").entries is not Table("*").entries
