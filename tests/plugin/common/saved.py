# SPDX-License-Identifier: Apache-2.0
"""What every transactional sink owes to the saved state of transforms: it is kept in the lane row, with the position."""

import pytest

from abi import FENCED, Failure


def commit(s, marks, **states):
    unit = s.unit(marks, states=states)
    s.begin(unit)
    s.commit(unit)


def is_kept(s, size):
    """s: a started sink with lane a at position 0, owner 1."""
    big = bytes(range(256)) * (size // 256)
    commit(s, {"a": (0, 3, 1, 0)}, a=big)
    assert s.take(["a"])["a"][:2] == (3, 2) and s.states == {"a": big}
    commit(s, {"a": (3, 4, 2, 0)}, a=b"\0'\\x")
    with pytest.raises(Failure) as caught:  # a deposed process changes neither position nor state
        commit(s, {"a": (3, 5, 1, 0)}, a=b"other")
    assert caught.value.status == FENCED
    s.abort()
    s.reread(s.unit({"a": (4, 6, 2, 0)}))
    assert s.states == {"a": b"\0'\\x"}
    commit(s, {"a": (4, 5, 3, 0)})
    assert s.take(["a"])["a"][0] == 5 and s.states == {}


def is_kept_for_many_lanes(s):
    lanes = {f"lane {i}": b"%d" % i * 20000 for i in range(300)}
    s.found(dict.fromkeys(lanes, 0))
    commit(s, {name: (0, 1, 1, 0) for name in lanes}, **lanes)
    s.take(list(lanes))
    assert s.states == lanes


def column_is_added(table, factory, column):
    """table: something with sql(); factory: makes a sink. A table of before it had the column gets it, where that is allowed."""
    with factory() as s:
        s.found({"a": 7})
    table.sql("ALTER TABLE millrace_offsets DROP COLUMN state")
    if column:
        with pytest.raises(Failure) as caught:
            factory(create_offsets="false").__enter__()
        assert caught.value.option == "create_offsets" and f"no column `state` ({column})" in caught.value.msg
    with factory() as s:
        assert s.take(["a"])["a"][0] == 7
        commit(s, {"a": (7, 8, 2, 0)}, a=b"x")
        s.take(["a"])
        assert s.states == {"a": b"x"}
