#!/usr/bin/env python3
"""Draws which file of a crate imports which, and names the circles among them.

    tests/checks/imports.py [--dot] [DIRECTORY]

The directory is `shared/src` if none is given. A re-export counts as nothing by itself: whoever imports through it imports
the file that defines the thing. Code under `#[cfg(test)]` is left out. `--dot` prints the graph for Graphviz.
"""

import argparse
import pathlib
import sys

sys.dont_write_bytecode = True

import rust  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEFINING = {"fn", "struct", "enum", "trait", "type", "const", "static", "union"}


class Module:
    """A file: the names it defines, those it brings in with `use`, and the paths that its code spells out."""

    def __init__(self, path, file):
        self.path, self.file = path, file
        found, self.only_in_tests = rust.without_tests(rust.tokens(file.read_text()))
        self.defined, self.imported, self.globs, self.private = set(), {}, [], set()
        self.paths, self.words = [], set()
        self._read([token for token in found if token.kind in ("word", "sign")])

    def _read(self, found):
        i, depth = 0, 0
        while i < len(found):
            text = found[i].text
            if text == "use" and found[i + 1].text != "<":
                i = self._use(found, i)
                continue
            if text == "macro_rules" and i + 2 < len(found):
                self.defined.add(found[i + 2].text)
            if depth == 0 and text in DEFINING and i + 1 < len(found):
                self.defined.add(found[i + 1].text)
            depth += (text == "{") - (text == "}")
            if found[i].kind == "word":
                path, end = [text], i + 1
                while end + 1 < len(found) and found[end].text == "::" and found[end + 1].kind == "word":
                    path.append(found[end + 1].text)
                    end += 2
                preceded = i and found[i - 1].text in ("::", ".")
                if len(path) > 1 and not preceded:
                    self.paths.append(tuple(path))
                if not preceded:
                    self.words.add(text)
                i = end
            else:
                i += 1

    def _use(self, found, at):
        public = at and found[at - 1].text in ("pub", ")")
        end = next(i for i in range(at, len(found)) if found[i].text == ";")
        for path, name in spread([token.text for token in found[at + 1 : end]]):
            if name == "*":
                self.globs.append(path)
            else:
                self.imported[name] = path
                if not public:
                    self.private.add(name)
        return end + 1


def spread(words):
    """The paths of a `use`, each with the name that it gets: `a::{b, c as d}` is (a::b, b) and (a::c, d)."""
    if "{" in words:
        opening = words.index("{")
        head = tuple(word for word in words[:opening] if word != "::")
        for part in parts(words[opening + 1 : len(words) - words[::-1].index("}") - 1]):
            for path, name in spread(part):
                if path == ("self",):
                    yield head, (name if name != "self" else head[-1])
                else:
                    yield head + path, name
    elif words:
        words = [word for word in words if word != "::"]
        if len(words) > 2 and words[-2] == "as":
            yield tuple(words[:-2]), words[-1]
        elif words[-1] == "*":
            yield tuple(words[:-1]), "*"
        else:
            yield tuple(words), words[-1]


def parts(words):
    """What commas separate, those within braces excepted."""
    part, depth = [], 0
    for word in words:
        depth += (word == "{") - (word == "}")
        if word == "," and not depth:
            yield part
            part = []
        else:
            part.append(word)
    if part:
        yield part


class Crate:
    def __init__(self, source):
        self.source = source
        self.modules = {}
        self._add(("crate",), source / "lib.rs")

    def _add(self, path, file):
        module = Module(path, file)
        self.modules[path] = module
        folder = file.parent if file.name in ("lib.rs", "mod.rs") else file.with_suffix("")
        for name in children(file, folder):
            if name not in module.only_in_tests:
                inside = folder / f"{name}.rs"
                self._add((*path, name), inside if inside.exists() else folder / name / "mod.rs")

    def name(self, module):
        return str(module.file.relative_to(self.source))

    def start(self, module, path):
        """Where a path begins that stands in a module, and what is left of it; None if it is of another crate."""
        first, rest = path[0], path[1:]
        if first == "crate":
            return self.modules[("crate",)], rest
        if first == "self":
            return module, rest
        if first == "super":
            return self.modules[module.path[:-1]], rest
        if (*module.path, first) in self.modules:
            return self.modules[(*module.path, first)], rest
        if first in module.imported and module.imported[first][0] != first:
            return self.start(module, module.imported[first] + rest)
        return None

    def defining(self, module, path):
        """The module that defines what a path names; None if that is of another crate, or is itself a module."""
        at = self.start(module, path)
        while at:
            module, path = at
            if not path:
                return None
            if path[0] == "super":
                at = self.modules[module.path[:-1]], path[1:]
            elif path[0] in module.defined:
                return module
            elif path[0] in module.imported or (*module.path, path[0]) in self.modules:
                at = self.start(module, path)
            else:
                return next((found for glob in module.globs if (found := self.within(module, glob, path[0]))), module)
        return None

    def within(self, module, glob, name):
        """The module that defines a name which a glob brings in; None if it does not bring it in."""
        found = self.defining(module, (*glob, name))
        return found if found and name in found.defined else None

    def graph(self):
        """For each file, the files of the crate that define what it names."""
        graph = {}
        for module in self.modules.values():
            named = set(module.paths)
            named |= {module.imported[name] for name in module.imported if name in module.private or name in module.words}
            targets = {self.defining(module, path) for path in named}
            targets |= {self.within(module, glob, word) for glob in module.globs for word in module.words}
            targets -= {None, module}
            graph[self.name(module)] = sorted(self.name(target) for target in targets)
        return dict(sorted(graph.items()))


def children(file, folder):
    """The modules that are files of their own."""
    found = rust.tokens(file.read_text())
    for i in range(len(found) - 2):
        if found[i].text == "mod" and found[i].kind == "word" and found[i + 2].text == ";":
            name = found[i + 1].text
            if (folder / f"{name}.rs").exists() or (folder / name / "mod.rs").exists():
                yield name


def circles(graph):
    """The strongly connected components of more than one file (Tarjan), each sorted."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in graph[node]:
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            at = stack.index(node)
            component = stack[at:]
            del stack[at:]
            if len(component) > 1:
                found.append(sorted(component))

    for node in graph:
        if node not in index:
            visit(node)
    return sorted(found)


def dot(graph):
    within = {file: i for i, circle in enumerate(circles(graph)) for file in circle}
    lines = ["digraph imports {", "    rankdir=LR", "    node [shape=box]"]
    for file, targets in graph.items():
        for target in targets:
            same = file in within and within[file] == within.get(target)
            lines.append(f'    "{file}" -> "{target}"{" [color=red]" if same else ""}')
    return "\n".join([*lines, "}"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dot", action="store_true", help="print the graph for Graphviz")
    parser.add_argument("directory", nargs="?", type=pathlib.Path, default=ROOT / "shared" / "src")
    given = parser.parse_args()
    graph = Crate(given.directory).graph()
    if given.dot:
        print(dot(graph))
        return
    for file, targets in graph.items():
        print(f"{file}: {', '.join(targets)}")
    found = circles(graph)
    print(f"\n{len(found)} circles in {sum(map(len, found))} of {len(graph)} files")
    for circle in found:
        print("  " + " ".join(circle))


if __name__ == "__main__":
    main()
