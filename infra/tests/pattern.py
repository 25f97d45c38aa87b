"""Matches EventBridge's event patterns: the documented subset that a rule is likely to use. Everything else is an error.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html

Numbers compare by value. A value that is a list matches if any of its elements does. The module reads no lists of objects,
because no rule here needs them.
"""

import fnmatch
import operator

_COMPARISONS = {"<": operator.lt, "<=": operator.le, "=": operator.eq, ">=": operator.ge, ">": operator.gt}
_MISSING = object()


class InvalidPattern(Exception):
    """EventBridge would refuse the pattern, or this module does not know it."""


def matches(pattern, event):
    """Tells whether EventBridge would deliver `event` for a rule with this pattern."""
    if not isinstance(pattern, dict) or not pattern:
        raise InvalidPattern(f"a pattern is an object with a field at least: {pattern!r}")
    # Every field is looked at, so that an invalid one never hides behind one that does not match.
    return all([_field(name, wanted, event) for name, wanted in pattern.items()])


def _field(name, wanted, event):
    if name == "$or":
        if not isinstance(wanted, list) or len(wanted) < 2:
            raise InvalidPattern("$or takes a list of two patterns or more")
        return any([matches(alternative, event) for alternative in wanted])
    value = event.get(name, _MISSING) if isinstance(event, dict) else _MISSING
    if isinstance(wanted, dict):
        return matches(wanted, value)
    if not isinstance(wanted, list) or not wanted:
        raise InvalidPattern(f"{name}: a leaf is a list of what may match: {wanted!r}")
    return any([_any_element(condition, value) for condition in wanted])


def _any_element(condition, value):
    elements = value if isinstance(value, list) and value else [value]
    return any([_condition(condition, element) for element in elements])


def _condition(condition, value):
    if isinstance(condition, dict):
        if len(condition) != 1:
            raise InvalidPattern(f"one operator at a time: {condition!r}")
        [(name, operand)] = condition.items()
        if name not in _OPERATORS:
            raise InvalidPattern(f"unknown operator {name!r}")
        return _OPERATORS[name](operand, value)
    if isinstance(condition, list):
        raise InvalidPattern(f"a list inside a list: {condition!r}")
    return _equal(condition, value)


def _equal(wanted, value):
    if isinstance(wanted, bool) or isinstance(value, bool):
        return wanted is value
    return wanted == value


def _text(name, operand):
    if not isinstance(operand, str):
        raise InvalidPattern(f"{name} takes a string: {operand!r}")
    return operand


def _with_case(name, test):
    def apply(operand, value):
        if isinstance(operand, dict):
            if set(operand) != {"equals-ignore-case"}:
                raise InvalidPattern(f"{name}: {operand!r}")
            operand = _text(name, operand["equals-ignore-case"]).lower()
            return isinstance(value, str) and test(value.lower(), operand)
        operand = _text(name, operand)
        return isinstance(value, str) and test(value, operand)

    return apply


def _ignore_case(operand, value):
    operand = _text("equals-ignore-case", operand)
    return isinstance(value, str) and value.lower() == operand.lower()


def _wildcard(operand, value):
    operand = _text("wildcard", operand)
    # Only the asterisk is special.
    escaped = operand.replace("[", "[[]").replace("?", "[?]")
    return isinstance(value, str) and fnmatch.fnmatchcase(value, escaped)


def _exists(operand, value):
    if not isinstance(operand, bool):
        raise InvalidPattern(f"exists takes true or false: {operand!r}")
    return (value is not _MISSING) is operand


def _numeric(operand, value):
    if not isinstance(operand, list) or len(operand) not in (2, 4):
        raise InvalidPattern(f"numeric takes one or two comparisons: {operand!r}")
    pairs = list(zip(operand[::2], operand[1::2], strict=True))
    if any(name not in _COMPARISONS or isinstance(bound, bool) or not isinstance(bound, int | float) for name, bound in pairs):
        raise InvalidPattern(f"numeric: {operand!r}")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and all(_COMPARISONS[name](value, bound) for name, bound in pairs)


def _anything_but(operand, value):
    if isinstance(operand, dict):
        [(name, inner)] = operand.items()
        if name not in ("prefix", "suffix", "wildcard", "equals-ignore-case"):
            raise InvalidPattern(f"anything-but: {operand!r}")
        wanted = inner if isinstance(inner, list) else [inner]
        refused = any([_OPERATORS[name](one, value) for one in wanted])
    else:
        wanted = operand if isinstance(operand, list) else [operand]
        if not wanted or any(isinstance(one, dict | list) for one in wanted):
            raise InvalidPattern(f"anything-but: {operand!r}")
        refused = any(_equal(one, value) for one in wanted)
    # What is not there is not something else.
    return value is not _MISSING and not refused


_OPERATORS = {
    "prefix": _with_case("prefix", str.startswith),
    "suffix": _with_case("suffix", str.endswith),
    "equals-ignore-case": _ignore_case,
    "wildcard": _wildcard,
    "exists": _exists,
    "numeric": _numeric,
    "anything-but": _anything_but,
}
