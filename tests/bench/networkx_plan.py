"""Answers what `graph.rs` asks, with networkx: waves, descendants and longest chains of a file of edges."""

import array
import json
import sys
import time

import networkx


def main() -> None:
    words = array.array("I")
    with open(sys.argv[1], "rb") as file:
        words.frombytes(file.read())
    images, asked = words[0], words[1]
    roots = words[2 : 2 + asked]
    ends = words[2 + asked :]
    graph = networkx.DiGraph()
    graph.add_nodes_from(range(images))
    graph.add_edges_from(zip(ends[0::2], ends[1::2]))

    began = time.perf_counter()
    waves = list(networkx.topological_generations(graph))
    below = set(roots)
    for root in roots:
        below |= networkx.descendants(graph, root)
    chains = dict.fromkeys(graph, 0)
    for wave in reversed(waves):
        for node in wave:
            chains[node] = max((chains[child] + 1 for child in graph[node]), default=0)
    seconds = time.perf_counter() - began

    answer = {
        "waves": [len(wave) for wave in waves],
        "wave_sum": sum(number * (node + 1) for number, wave in enumerate(waves, 1) for node in wave),
        "descendants": len(below),
        "descendant_sum": sum(node + 1 for node in below),
        "longest": max(chains.values()),
        "chain_sum": sum(chain * (node + 1) for node, chain in chains.items()),
    }
    print(json.dumps({"answer": answer, "seconds": seconds, "version": networkx.__version__}))


main()
