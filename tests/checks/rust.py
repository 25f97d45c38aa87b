"""Reads Rust sources as tokens: enough to find imports, comments and messages, without a compiler."""

import re
import typing

TOKEN = re.compile(
    r"""
      (?P<doc>///(?!/)[^\n]*|//![^\n]*)
    | (?P<comment>//[^\n]*|/\*.*?\*/)
    | (?P<string>[bc]?"(?:\\.|[^"\\])*"|[bc]?r(?P<hashes>\#*)".*?"(?P=hashes))
    | (?P<char>b?'(?:\\(?:u\{[^}]*\}|x[0-9a-fA-F]{2}|.)|[^\\'\n])')
    | (?P<lifetime>'[A-Za-z_]\w*)
    | (?P<word>(?:r\#)?[A-Za-z_]\w*)
    | (?P<number>\d\w*(?:\.\d\w*)?)
    | (?P<sign>::|=>|->|\.\.=|\S)
    """,
    re.X | re.S,
)
OPENING, CLOSING = "([{", ")]}"


class Token(typing.NamedTuple):
    kind: str
    text: str
    line: int


def tokens(source):
    """All tokens but plain comments."""
    found, line, end = [], 1, 0
    for match in TOKEN.finditer(source):
        line += source.count("\n", end, match.start())
        end = match.start()
        if match.lastgroup != "comment":
            kind = "string" if match["string"] else match.lastgroup
            found.append(Token(kind, match[0], line))
    return found


def closed(found, at):
    """The index after the bracket that closes the one at `at`."""
    depth = 0
    for i in range(at, len(found)):
        if found[i].kind == "sign":
            depth += (found[i].text in OPENING) - (found[i].text in CLOSING)
            if depth == 0:
                return i + 1
    return len(found)


def ended(found, at):
    """The index after the item that begins at `at`: after its body, or after its semicolon."""
    i = at
    while i < len(found):
        if found[i].kind == "sign":
            if found[i].text == "{":
                return closed(found, i)
            if found[i].text in OPENING:
                i = closed(found, i)
                continue
            if found[i].text in (";", ","):
                return i + 1
        i += 1
    return i


def attribute(found, at):
    """The text of the attribute at `at`, without blanks, and the index after it; None if there is none."""
    if found[at].text != "#":
        return None
    opening = at + 2 if at + 1 < len(found) and found[at + 1].text == "!" else at + 1
    if opening >= len(found) or found[opening].text != "[":
        return None
    end = closed(found, opening)
    return "".join(token.text for token in found[at:end]), end


def without_tests(found):
    """The tokens that are compiled outside tests, and the names of the files that are compiled only in tests."""
    kept, only_in_tests, i = [], set(), 0
    while i < len(found):
        named = attribute(found, i)
        if named and named[0] == "#[cfg(test)]":
            i = named[1]
            while other := attribute(found, i):
                i = other[1]
            end = ended(found, i)
            words = [token.text for token in found[i:end]]
            if "mod" in words[:5] and words[-1] == ";":
                only_in_tests.add(words[-2])
            i = end
        else:
            kept.append(found[i])
            i += 1
    return kept, only_in_tests


def value(literal):
    """What a string literal holds."""
    raw = re.fullmatch(r'[bc]?r(#*)"(.*)"\1', literal, re.S)
    if raw:
        return raw[2]
    inside = literal[literal.index('"') + 1 : -1]
    inside = re.sub(r"\\\n\s*", "", inside)
    return re.sub(r"\\(.)", lambda escape: {"n": "\n", "t": "\t"}.get(escape[1], escape[1]), inside)
