"""Reads Markdown as paragraphs of words, each word with its line."""

import pathlib
import re
import subprocess
import typing

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Word(typing.NamedTuple):
    text: str
    line: int


def files():
    """The project's Markdown files."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"], cwd=ROOT, text=True, capture_output=True, check=True
    ).stdout.split()
    return [ROOT / name for name in sorted(set(listed)) if (ROOT / name).exists()]


def lines(text):
    """The lines with their numbers, without blocks of code and comments."""
    fence, comment = None, False
    for number, line in enumerate(text.splitlines(), 1):
        mark = re.match(r"\s*(```+|~~~+)", line)
        if fence:
            fence = None if mark and mark[1].startswith(fence) else fence
        elif mark:
            fence = mark[1]
            yield number, ""
        elif comment or line.lstrip().startswith("<!--"):
            comment = "-->" not in line
        else:
            yield number, line


def paragraphs(text):
    """The words of each paragraph, heading or list item; tables are left out."""
    words = []
    for number, line in lines(text):
        if not line.strip() or re.match(r"\s*([-*+] |\d+\. |#+ |\||>|</?\w)", line):
            if words:
                yield words
            words = []
        if line.lstrip().startswith("|"):
            continue
        line = re.sub(r"^\s*([-*+] |\d+\. |#+ |> ?)+", "", line)
        words += [Word(word, number) for word in plain(line).split()]
        if re.match(r"#+ ", line):
            yield words
            words = []
    if words:
        yield words


def plain(line):
    """The line as it is read: of a link its text, of code one word."""
    line = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", line)
    line = re.sub(r"<[^>]*>", " ", line)
    line = re.sub(r"(`+)(?:(?!\1).)+\1", "`…`", line)
    return re.sub(r"[*_]{1,3}(\S(?:.*?\S)?)[*_]{1,3}", r"\1", line)
