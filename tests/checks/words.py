#!/usr/bin/env python3
"""Finds home-made words and long sentences in what people read: documentation, help and messages.

    tests/checks/words.py [--comments]

Reads the Markdown files (without blocks of code and tables), the help of every verb, and the messages in the Rust sources. Each
word of `BANNED` is named with what to write instead, and each sentence of more than 30 words. `--comments` reads the doc comments
of the Rust sources as well. Needs the built `patchwave` under target/. Exits with 1 if it finds something.
"""

import argparse
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True

import markdown  # noqa: E402
import rust  # noqa: E402
from markdown import ROOT, Word  # noqa: E402

LONGEST = 30

# A pattern, and what to write instead. Code in backticks, options and tables are not searched.
BANNED = {
    # One concept had several words.
    r"look again|looks asked|(?:a|an|the|next|last|each|every|another|one|first) looks?(?! like)": "tick, recheck, sweep or check",
    r"wakes?|woken|woke|waken": "recheck",
    r"(?:tick )?between two": "recheck",
    r"intents?": "goal; of a build key: idempotency key",
    r"told": "notified",
    r"tells?(?! (?:you|Patchwave|AWS|CodePipeline|Lambda|SQS|the))": "notifies, shows, names or says",
    r"story|stories": "events, history or notice",
    r"blam(?:e|es|ed|ing)": "attribution; is attributed to",
    r"helpless": "unfixable",
    r"lifted by|ended by": "to release it: …, or: ends when …",
    # Metaphors.
    r"villages?|hamlets?|towns?|estates?": "hierarchy, fleet or accounts",
    r"witness(?:es)?|accus(?:e|es|ed)": "checker; reports a violation",
    r"deeds?|outsiders?": "a person's action",
    r"theatres?|happenings?|troubles?": "runner, event or fault",
    r"rivals?": "baselines",
    r"founding|calm(?:s|ed)? down": "bootstrap; stop the faults",
    r"hostile": "with faults",
    r"plays?|played|playing": "simulate, run or stand in for",
    r"bad day|ordinary (?:day|life|month)|quiet (?:day|morning)|leads? an? \w+ life": "what happens in it, such as a critical CVE",
    r"(?:the|its|their) silence|on (?:its|their|his) word": "missing data, or no events",
    r"rides? along": "is fixed by the next rebuild",
    r"nicer": "more forgiving",
    r"makes? money of": "computes the cost",
    r"earns? (?:its|their) keep": "is worth it",
    r"comes? to rest": "is idle",
    # Who does what?
    r"whoever|whomever": "the person or team who",
    r"whatever": "name what",
    r"nobody(?:'s)?|somebody(?:'s)?": "name who: Patchwave, the owner, another team",
    r"of which|of whom|thereof|whereof": "a sentence of its own",
    r"(?:its|their|own) business": "say who is responsible",
    r"ended by a person": "to release it: patchwave release IMAGE",
    r"names no": "does not name",
    r"what keeps|keeps? everything else": "what holds",
    r"of (?:Patchwave's|yours|ours|theirs)": "Patchwave's, your",
    r"would go": "would be deleted",
    # Idioms translated word by word, and words that are rarely used.
    r"in vain": "without effect",
    r"by chance": "at random",
    r"mend(?:s|ed|ing)?": "fix",
    r"stands?(?! (?:in for|still))|stood": "is",
    r"hears?|heard": "receives",
    r"believ\w+": "uses or trusts",
    r"fares?": "the results of",
    r"hardly": "almost no",
    r"all the same": "still",
    r"a moment ago": "recently",
    r"without end": "without limit",
    r"to (?:its|their) end": "completely; finished",
    r"held to (?:it|them|that)": "checked against",
    r"promises? holds?": "the guarantees are kept",
    r"no news": "nothing new",
    r"fortnights?": "two weeks",
    r"anew": "again",
    r"bears?|heeds?|befalls?|shall|lest|hence|whilst|upon|amid(?:st)?|thereby|whereby|nought|beforehand": "a common word",
}
BANNED = [(re.compile(rf"(?<![\w-])(?:{pattern})(?![\w-])", re.I), instead) for pattern, instead in BANNED.items()]
NOT_AN_END = ("e.g.", "i.e.", "etc.", "vs.", "St.", "no.")


def problems(words):
    """What is wrong in a paragraph, each with its line."""
    for sentence in sentences(words):
        count = sum(any(map(str.isalnum, word.text)) or "`" in word.text for word in sentence)
        if count > LONGEST:
            start = " ".join(word.text for word in sentence[:8])
            yield sentence[0].line, f"a sentence of {count} words: “{start} …”: split it"
        yield from banned(sentence)


def banned(sentence):
    text, starts = "", []
    for word in sentence:
        starts.append(len(text))
        text += word.text + " "
    for pattern, instead in BANNED:
        for match in pattern.finditer(text):
            at = max(i for i, start in enumerate(starts) if start <= match.start())
            yield sentence[at].line, f"“{match[0]}”: write {instead}"


def sentences(words):
    sentence = []
    for i, word in enumerate(words):
        sentence.append(word)
        bare = word.text.rstrip("\"')”*_")
        ends = bare.endswith((".", "!", "?")) and bare not in NOT_AN_END
        if ends and (i + 1 == len(words) or not words[i + 1].text[:1].islower()):
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def documentation():
    """The problems of the Markdown files: file, line and problem."""
    for file in markdown.files():
        for words in markdown.paragraphs(file.read_text()):
            for line, problem in problems(words):
                yield file.relative_to(ROOT), line, problem


def patchwave(*arguments):
    binary = os.path.join(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"), "debug", "patchwave")
    return subprocess.run([binary, *arguments], text=True, capture_output=True, check=True).stdout


def verbs():
    listed = re.search(r"^Commands:\n(.*?)\n\n", patchwave("--help"), re.S | re.M)[1]
    return [verb for verb in re.findall(r"^  (\w[\w-]*)", listed, re.M) if verb != "help"]


def help_paragraphs(text):
    """The words of each paragraph of a verb's help: a line that is indented as much, or more, goes on with the one before."""
    words, indent, before = [], 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        now = len(line) - len(line.lstrip())
        begins = re.match(r" *(-|\[|[A-Z]|\S+  +\S)", line) and not (now > indent and words)
        if not line.strip() or begins or before.endswith(":") or re.match(r" *\S+  +\S", line):
            if words:
                yield words
            words, indent = [], now
        before = line
        line = re.sub(r"(?<!\w)--?[a-z][\w-]*( <[A-Z]\w*>)?|^ +\S+  +|^ *- \w+:|\[[^\]]*\]|patchwave [a-z]+", " `…` ", line)
        words += [Word(word, number) for word in markdown.plain(line).split()]
    if words:
        yield words


def help_texts():
    """The problems of what `--help` prints."""
    for verb in [None, *verbs()]:
        arguments = [verb, "--help"] if verb else ["--help"]
        for words in help_paragraphs(patchwave(*arguments)):
            for line, problem in problems(words):
                yield "patchwave " + " ".join(arguments), line, problem


def messages(source):
    """The texts that a source can print, each with its line: literals of three words or more, outside tests and attributes
    other than those of errors and arguments."""
    found, i = rust.without_tests(rust.tokens(source))[0], 0
    while i < len(found):
        if (named := rust.attribute(found, i)) and not named[0].startswith(("#[error", "#[arg", "#[command")):
            i = named[1]
            continue
        if found[i].kind == "string":
            yield from of_people(rust.value(found[i].text), found[i].line)
        i += 1


def of_people(text, line):
    """The words of a text, unless it is an expression, a template or JSON."""
    if re.search(r"[#=]:?\w|\{\"|^\s*[\[{<]", text):
        return
    text = re.sub(r"\{[^}]*\}", "X", text)
    words = markdown.plain(text).split()
    if sum(any(map(str.isalpha, word)) for word in words) >= 3:
        yield [Word(word, line) for word in words]


def rust_files():
    for folder in ("shared", "cli", "functions"):
        for file in sorted((ROOT / folder).rglob("*.rs")):
            inside = file.relative_to(ROOT).parts
            if "tests" not in inside and "target" not in inside and file.stem not in ("tests", "fake", "mutated"):
                yield file


def message_texts():
    """The problems of the messages in the Rust sources."""
    for file in rust_files():
        for words in messages(file.read_text()):
            for line, problem in problems(words):
                yield file.relative_to(ROOT), line, problem


def comment_texts():
    """The problems of the doc comments in the Rust sources."""
    for file in rust_files():
        words = []
        for token in [*rust.tokens(file.read_text()), None]:
            if token and token.kind == "doc" and token.text.strip("/! "):
                words += [Word(word, token.line) for word in markdown.plain(token.text[3:]).split()]
            elif words:
                for line, problem in problems(words):
                    yield file.relative_to(ROOT), line, problem
                words = []


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--comments", action="store_true", help="read doc comments as well")
    given = parser.parse_args()
    readers = [documentation, help_texts, message_texts, *([comment_texts] if given.comments else [])]
    listed = [f"{place}:{line}: {problem}" for read in readers for place, line, problem in read()]
    print("\n".join(listed))
    sys.exit(1 if listed else 0)


if __name__ == "__main__":
    main()
