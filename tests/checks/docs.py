#!/usr/bin/env python3
"""Finds public functions and types without a comment, comments that say nothing, and comments that are too wide.

    tests/checks/docs.py [--wrap]

A public function, type, constant or module has a doc comment; fields and variants need none, unlike with rustc's
`missing_docs`. No doc comment repeats the name
of what it stands on. Comments keep to 100 columns. Exits with 1 if it finds something.
`--wrap` first refills the comments that are too wide.
"""

import argparse
import pathlib
import re
import sys
import textwrap

sys.dont_write_bytecode = True

import rust  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
COLUMNS = 100
ITEMS = {"fn", "struct", "enum", "trait", "type", "const", "static", "mod", "union"}
BEFORE_ITEMS = {"async", "const", "unsafe", "extern", "default"}
SMALL_WORDS = {"a", "all", "an", "its", "of", "the", "their"}


def sources():
    """The Rust files of the project outside its test folders."""
    for folder in ("shared", "cli", "functions", "tests/src"):
        for file in sorted((ROOT / folder).rglob("*.rs")):
            inside = file.relative_to(ROOT / folder).parts
            if "tests" not in inside and "target" not in inside and file.name != "tests.rs":
                yield file


def problems(source, module_has_comment=lambda name: False):
    """What is wrong in a source, each with its line."""
    for number, text in enumerate(source.splitlines(), 1):
        if len(text) > COLUMNS and re.match(r"\s*//[/!]? [^|]", text) and " " in text.strip().lstrip("/! "):
            yield number, f"the comment is wider than {COLUMNS} columns"
    found = without_macros(rust.without_tests(rust.tokens(source))[0])
    comment, exported, traits, i = [], False, [], 0
    while i < len(found):
        token = found[i]
        if token.kind == "doc":
            comment = [*comment, token.text.lstrip("/! ")] if token.text.startswith("///") else comment
            i += 1
            continue
        if named := rust.attribute(found, i):
            i = named[1]
            continue
        if token.text == "pub":
            exported = found[i + 1].text != "("
            i = i + 1 if exported else rust.closed(found, i + 1)
            continue
        kind, name, end = item(found, i)
        if kind:
            in_trait = kind == "fn" and any(begin < i < end for begin, end in traits)
            if (exported or in_trait) and not comment and not (kind == "mod" and module_has_comment(name)):
                yield token.line, f"`{name}` is public and has no doc comment"
            if kind == "trait" and exported:
                traits.append((i, rust.ended(found, i)))
        elif token.kind == "word":
            name = token.text
        if name and comment and repeats(comment, name):
            yield token.line - 1, f"the comment repeats the name: {' '.join(comment)}"
        comment, exported = [], False
        i = end


def without_macros(found):
    """The tokens outside `macro_rules!`: what a macro makes is documented where it is used."""
    kept, i = [], 0
    while i < len(found):
        if found[i].text == "macro_rules":
            i = rust.ended(found, i)
        else:
            kept.append(found[i])
            i += 1
    return kept


def item(found, at):
    """The kind and the name of the item that begins here, if one does, and the index after them."""
    while at + 1 < len(found) and found[at].text in BEFORE_ITEMS and found[at + 1].text in ITEMS | BEFORE_ITEMS:
        at += 1
    if at + 1 < len(found) and found[at].text in ITEMS and found[at + 1].kind == "word":
        return found[at].text, found[at + 1].text, at + 2
    return None, None, at + 1


def repeats(comment, name):
    """Whether a comment of one or two words says nothing that the name does not."""
    said = [word.lower() for word in re.findall(r"[A-Za-z]+", " ".join(comment))]
    if "`" in " ".join(comment) or len(comment) > 1 or not 1 <= len(said) <= 2:
        return False
    named = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)]
    return {singular(word) for word in said if word not in SMALL_WORDS} <= {singular(word) for word in named}


def singular(word):
    return word.removesuffix("s")


def problems_of(file):
    """What is wrong in a file. A module's comment may stand at the head of its own file."""
    folder = file.parent if file.name in ("lib.rs", "main.rs", "mod.rs") else file.with_suffix("")

    def module_has_comment(name):
        candidates = (folder / f"{name}.rs", folder / name / "mod.rs")
        return any(path.exists() and path.read_text().startswith("//!") for path in candidates)

    return list(problems(file.read_text(), module_has_comment))


def wrapped(source):
    """The source with every paragraph of a comment refilled that has a line that is too wide."""
    lines, paragraph = [], []
    for text in [*source.split("\n"), None]:
        comment = text is not None and re.fullmatch(r"(\s*)(///|//!|//) (\S.*)", text)
        fixed = comment and re.match(r"[|#>]|```", comment[3])
        opens = comment and (fixed or re.match(r"[-*] |\d+\. ", comment[3]))
        if paragraph and (not comment or opens or comment.group(1, 2) != paragraph[0].group(1, 2)):
            lines += refilled(paragraph)
            paragraph = []
        if comment and not fixed:
            paragraph.append(comment)
        elif text is not None:
            lines.append(text)
    return "\n".join(lines)


def refilled(paragraph):
    if all(len(line[0]) <= COLUMNS for line in paragraph):
        return [line[0] for line in paragraph]
    indent, sign, first = paragraph[0].groups()
    hanging = re.match(r"([-*] |\d+\. )?", first)[0]
    return textwrap.wrap(
        " ".join(line[3] for line in paragraph),
        COLUMNS,
        initial_indent=f"{indent}{sign} ",
        subsequent_indent=f"{indent}{sign} {' ' * len(hanging)}",
        break_long_words=False,
        break_on_hyphens=False,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wrap", action="store_true", help="first refill the comments that are too wide")
    if parser.parse_args().wrap:
        for file in sources():
            file.write_text(wrapped(file.read_text()))
    listed = [(file, *problem) for file in sources() for problem in problems_of(file)]
    for file, line, problem in listed:
        print(f"{file.relative_to(ROOT)}:{line}: {problem}")
    print(f"{len(listed)} comments are missing, empty or too wide")
    sys.exit(1 if listed else 0)


if __name__ == "__main__":
    main()
