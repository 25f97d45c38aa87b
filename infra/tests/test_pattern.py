"""The event-pattern matcher, checked with the documentation's examples."""

import pytest
from pattern import InvalidPattern, matches


@pytest.mark.parametrize(
    ("pattern", "event", "expected"),
    [
        ({"source": ["aws.ecr"]}, {"source": "aws.ecr"}, True),
        ({"source": ["aws.ecr"]}, {"source": "aws.ecr2"}, False),
        ({"source": ["a", "b"]}, {"source": "b"}, True),
        ({"source": ["a"], "kind": ["x"]}, {"source": "a"}, False),
        ({"detail": {"state": ["ok"]}}, {"detail": {"state": "ok", "more": 1}}, True),
        ({"detail": {"state": ["ok"]}}, {"detail": "state"}, False),
        ({"detail": {"state": ["ok"]}}, {}, False),
        # Lists on the event's side.
        ({"resources": ["b"]}, {"resources": ["a", "b"]}, True),
        ({"resources": [{"prefix": "b"}]}, {"resources": ["ab"]}, False),
        ({"resources": [{"prefix": "b"}]}, {"resources": []}, False),
        # Numbers by value, booleans and null by kind.
        ({"n": [3]}, {"n": 3.0}, True),
        ({"n": [1]}, {"n": True}, False),
        ({"n": [None]}, {"n": None}, True),
        ({"n": [None]}, {}, False),
        ({"n": [""]}, {"n": ""}, True),
        # Operators.
        ({"s": [{"prefix": "ab"}]}, {"s": "abc"}, True),
        ({"s": [{"prefix": {"equals-ignore-case": "AB"}}]}, {"s": "abc"}, True),
        ({"s": [{"suffix": ".png"}]}, {"s": "a.png"}, True),
        ({"s": [{"suffix": ".png"}]}, {"s": "a.PNG"}, False),
        ({"s": [{"equals-ignore-case": "Alice"}]}, {"s": "aLICE"}, True),
        ({"s": [{"wildcard": "main-*-x"}]}, {"s": "main-abc-x"}, True),
        ({"s": [{"wildcard": "a[b]?"}]}, {"s": "a[b]?"}, True),
        ({"s": [{"wildcard": "a?"}]}, {"s": "ab"}, False),
        ({"s": [{"exists": True}]}, {"s": None}, True),
        ({"s": [{"exists": False}]}, {}, True),
        ({"s": [{"exists": False}]}, {"s": ""}, False),
        ({"n": [{"numeric": [">", 0, "<=", 5]}]}, {"n": 5}, True),
        ({"n": [{"numeric": [">", 0, "<=", 5]}]}, {"n": 0}, False),
        ({"n": [{"numeric": ["=", 5]}]}, {"n": "5"}, False),
        ({"s": [{"anything-but": "a"}]}, {"s": "b"}, True),
        ({"s": [{"anything-but": [""]}]}, {"s": ""}, False),
        ({"s": [{"anything-but": [""]}]}, {}, False),
        ({"s": [{"anything-but": {"prefix": "init"}}]}, {"s": "initial"}, False),
        ({"s": [{"anything-but": {"prefix": ["a", "b"]}}]}, {"s": "c"}, True),
        ({"$or": [{"a": [1]}, {"b": [2]}]}, {"b": 2}, True),
        ({"$or": [{"a": [1]}, {"b": [2]}]}, {"a": 2, "b": 1}, False),
        ({"$or": [{"a": [1]}, {"b": [2]}], "c": [3]}, {"a": 1}, False),
    ],
)
def test_matches(pattern, event, expected):
    assert matches(pattern, event) is expected


@pytest.mark.parametrize(
    "pattern",
    [
        {},
        {"source": "aws.ecr"},
        {"source": []},
        {"source": [["aws.ecr"]]},
        {"source": [{"starts-with": "aws"}]},
        {"source": [{"prefix": "a", "suffix": "b"}]},
        {"source": [{"prefix": 1}]},
        {"source": [{"anything-but": []}]},
        {"n": [{"numeric": ["!", 1]}]},
        {"n": [{"exists": "yes"}]},
        {"$or": [{"a": [1]}]},
        # Found although the first field does not match.
        {"kind": ["other"], "source": "aws.ecr"},
    ],
)
def test_what_eventbridge_refuses_is_an_error(pattern):
    with pytest.raises(InvalidPattern):
        matches(pattern, {"kind": "k", "source": "aws.ecr", "n": 1})
