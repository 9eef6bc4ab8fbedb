#!/usr/bin/env python3
"""serializable [--total N] FINAL HISTORY...: are these histories of appender.py strictly serializable? FINAL is what the
lists hold in the end, as one line of JSON like a history's. Says what is wrong, exit status 1; or how much was looked at.
serializable --self-test: does it find what is wrong in histories made to be wrong?

After Kingsbury and Alvaro, "Elle: inferring isolation anomalies from experimental observations" (VLDB 2020): as every
number is appended once, a list's final order tells in which order its appends took place. With

    ww  one appended right behind the other
    wr  what one has appended last is what the other has read last
    rw  one has read up to there, the other appended what comes next
    rt  one had ended before the other began (Herlihy and Wing's real time)

there must be no cycle. The reads of a transaction that failed count as those of a read-only one: its view is promised to
be of one moment, too. One whose outcome is unknown did take place if anybody has seen what it appended; else it is
left out (what it read may be of any time up to now, but is checked to be of some order)."""

import collections
import json
import sys


class Wrong(Exception):
    pass


def load(paths):
    history = []
    for path in paths:
        with open(path) as f:
            # the last line may be cut off where its writer was killed
            history += [json.loads(line) for line in f if line.endswith("\n")]
    return history


def normalized(t):
    return dict(
        t, reads={str(k): v for k, v in t["reads"].items()}, appends={str(k): v for k, v in t["appends"].items()}
    )


def check_values(history, order, total):
    place = {name: {number: i for i, number in enumerate(numbers)} for name, numbers in order.items()}
    for name, numbers in order.items():
        if len(place[name]) != len(numbers):
            raise Wrong(f"list {name} holds a number twice")
    for t in history:
        for name, seen in t["reads"].items():
            if seen != order.get(name, [])[: len(seen)]:
                raise Wrong(f"list {name} was read as {seen[-5:]}, which is no beginning of its end")
        for name, number in t["appends"].items():
            there = number in place.get(name, {})
            if t["result"] == "ok" and not there:
                raise Wrong(f"{number} was committed to list {name} and is not there")
            if t["result"] == "failed" and there:
                raise Wrong(f"{number} is in list {name}, and its transaction failed")
        seen = {number in place.get(name, {}) for name, number in t["appends"].items()}
        if len(seen) == 2:
            raise Wrong(f"of one transaction some appends are there and some are not: {t['appends']}")
        if total is not None and t["total"] not in (None, total):
            raise Wrong(f"the bank's total was seen as {t['total']}")
    return place


def took_place(t, place):
    if t["result"] == "unknown":
        return any(number in place.get(name, {}) for name, number in t["appends"].items())
    return bool(t["reads"] or t["appends"] or t["total"] is not None)


def conflicts(history, order, place):
    """Edges between transactions, by their numbers in history."""
    writer = {}
    for i, t in enumerate(history):
        if t["result"] != "failed":
            for name, number in t["appends"].items():
                writer[name, number] = i
    for name, numbers in order.items():
        for a, b in zip(numbers, numbers[1:]):
            yield writer.get((name, a)), writer.get((name, b)), "ww"
    for i, t in enumerate(history):
        for name, seen in t["reads"].items():
            if seen:
                yield writer.get((name, seen[-1])), i, "wr"
            if len(seen) < len(order[name]):
                yield i, writer.get((name, order[name][len(seen)])), "rw"


def real_time(history, taken):
    """A chain of moments, so that there are few edges: who ended before a moment comes before who began after it. One
    whose outcome is unknown may have taken place at any later time."""
    moments = sorted(
        [(history[i]["end"], 0, i) for i in taken if history[i]["result"] != "unknown"]
        + [(history[i]["start"], 1, i) for i in taken]
    )
    chain = None
    for n, (_, begins, i) in enumerate(moments):
        if begins:
            if chain is not None:
                yield chain, i, "rt"
        else:
            here = ("moment", n)
            if chain is not None:
                yield chain, here, "rt"
            yield i, here, "rt"
            chain = here


def find_cycle(edges):
    graph, back = collections.defaultdict(dict), collections.Counter()
    for a, b, kind in edges:
        if a is not None and b is not None and a != b and b not in graph[a]:
            graph[a][b] = kind
            back[b] += 1
    nodes = set(graph) | set(back)
    free = [n for n in nodes if back[n] == 0]
    while free:
        n = free.pop()
        nodes.discard(n)
        for m in graph[n]:
            back[m] -= 1
            if back[m] == 0:
                free.append(m)
    if not nodes:
        return None
    # From any node that is left, backwards there is always another one: so walk until one comes again.
    before = {}
    for n in nodes:
        for m in graph[n]:
            if m in nodes:
                before[m] = n
    n, path = next(iter(before)), []
    while n not in path:
        path.append(n)
        n = before[n]
    path = path[path.index(n) :][::-1]
    return [(a, graph[a][b], b) for a, b in zip(path, path[1:] + path[:1])]


def check(history, final, total=None):
    history = [normalized(t) for t in history]
    order = normalized(final)["reads"]
    place = check_values(history, order, total)
    taken = [i for i, t in enumerate(history) if took_place(t, place)]
    kept = [history[i] for i in taken]
    everyone = range(len(kept))
    cycle = find_cycle(list(conflicts(kept, order, place)) + list(real_time(kept, everyone)))
    if cycle:
        raise Wrong("a cycle: " + "; ".join(f"{name(kept, a)} {kind} {name(kept, b)}" for a, kind, b in cycle))
    return kept


def name(kept, node):
    return "…" if isinstance(node, tuple) else json.dumps({k: kept[node][k] for k in ("start", "appends", "result")})


# ---- does it find what is wrong? ----


def one(start, end, reads=None, appends=None, result="ok", total=None):
    return {"start": start, "end": end, "result": result, "total": total, "reads": reads or {}, "appends": appends or {}}


WRONG = {
    "a lost append": ([one(1, 2, {}, {0: 1})], {0: []}),
    "an append of a failed one": ([one(1, 2, {}, {0: 1}, "failed")], {0: [1]}),
    "an append twice": ([one(1, 2, {}, {0: 1})], {0: [1, 1]}),
    "half a transaction": ([one(1, 2, {}, {0: 1, 1: 1}, "unknown")], {0: [1], 1: []}),
    "two orders": ([one(1, 2, {}, {0: 1}), one(1, 2, {}, {0: 2}), one(3, 4, {0: [2]})], {0: [1, 2]}),
    "a stale read": ([one(1, 2, {}, {0: 1}), one(3, 4, {0: []})], {0: [1]}),
    "a read of what is to come": ([one(5, 6, {}, {0: 1}), one(1, 2, {0: [1]})], {0: [1]}),
    "a lost update": ([one(1, 9, {0: []}, {0: 1}), one(1, 9, {0: []}, {0: 2})], {0: [1, 2]}),
    "write skew": ([one(1, 9, {0: []}, {1: 1}), one(1, 9, {1: []}, {0: 2})], {0: [2], 1: [1]}),
    "a torn view": ([one(1, 9, {}, {0: 1, 1: 1}), one(1, 9, {0: [1], 1: []})], {0: [1], 1: [1]}),
    "a torn view of a failed one": ([one(1, 9, {}, {0: 1, 1: 1}), one(1, 9, {0: [1], 1: []}, {}, "failed")], {0: [1], 1: [1]}),
    "appends of two crossed": ([one(1, 9, {}, {0: 1, 1: 1}), one(1, 9, {}, {0: 2, 1: 2})], {0: [1, 2], 1: [2, 1]}),
    "readers who see two writers in two orders": (
        [one(1, 9, {}, {0: 1}), one(1, 9, {}, {1: 2}), one(1, 9, {0: [1], 1: []}), one(1, 9, {0: [], 1: [2]})],
        {0: [1], 1: [2]},
    ),
    "against real time, over a third": (
        [one(1, 2, {}, {0: 1}), one(3, 4, {0: [], 1: [9]}), one(1, 9, {}, {1: 9})],
        {0: [1], 1: [9]},
    ),
    "a total that changes": ([one(1, 2, total=100), one(3, 4, total=97)], {}),
}
RIGHT = {
    "nothing": ([], {}),
    "one after the other": ([one(1, 2, {0: []}, {0: 1}), one(3, 4, {0: [1]}, {0: 2})], {0: [1, 2]}),
    "at the same time, either order": ([one(1, 9, {0: [2]}, {0: 1}), one(1, 9, {0: []}, {0: 2})], {0: [2, 1]}),
    "an unknown one that took place late": ([one(1, 2, {}, {0: 1}, "unknown"), one(3, 4, {0: []})], {0: [1]}),
    "an unknown one that did not": ([one(1, 2, {0: []}, {0: 1}, "unknown"), one(3, 4, {}, {0: 2})], {0: [2]}),
    "a failed one that saw a moment": ([one(1, 9, {}, {0: 1, 1: 1}), one(1, 9, {0: [1], 1: [1]}, {0: 7}, "failed")], {0: [1], 1: [1]}),
    "a total that stays": ([one(1, 2, total=100), one(3, 4, total=100)], {}),
}


def self_test():
    for what, (history, order) in WRONG.items():
        try:
            check(history, one(99, 99, order), 100)
        except Wrong:
            continue
        sys.exit(f"not found: {what}")
    for what, (history, order) in RIGHT.items():
        try:
            check(history, one(99, 99, order), 100)
        except Wrong as e:
            sys.exit(f"nothing is wrong with {what}: {e}")
    print(f"{len(WRONG)} wrong histories found, {len(RIGHT)} right ones let through")


def main():
    args = sys.argv[1:]
    if args == ["--self-test"]:
        self_test()
        return
    total = None
    if args[0] == "--total":
        total = int(args[1])
        args = args[2:]
    final, history = load(args[:1])[0], load(args[1:])
    try:
        kept = check(history, final, total)
    except Wrong as e:
        sys.exit(f"not strictly serializable: {e}")
    results = collections.Counter(t["result"] for t in history)
    views = sum(t["total"] is not None for t in history)
    print(f"{len(history)} transactions ({dict(results)}), {len(kept)} in the graph, {views} views of the bank")


main()
