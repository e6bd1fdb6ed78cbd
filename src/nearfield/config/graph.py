"""Loops among functions that feed each other by tags."""

from __future__ import annotations

from collections.abc import Sequence, Set

#: What one function observes and emits.
Flow = tuple[Set[int], Set[int]]


def find_loops(flows: Sequence[Flow]) -> list[tuple[int, ...]]:
    """Find loops, so that each function that can reach itself is in at least one.

    Returns:
        Positions in `flows`, in the order a frame would take, each loop a shortest one, beginning with its lowest
        position. Functions in a loop already found begin no other.
    """
    followers = [[j for j, (observe, _) in enumerate(flows) if observe & emit] for _, emit in flows]
    loops: list[tuple[int, ...]] = []
    covered: set[int] = set()
    for start in range(len(flows)):
        if start in covered:
            continue
        loop = _shortest_loop(start, followers)
        if loop:
            lowest = loop.index(min(loop))
            loops.append((*loop[lowest:], *loop[:lowest]))
            covered.update(loop)
    return loops


def _shortest_loop(start: int, followers: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The shortest way from `start` back to it, without the return; empty when there is none."""
    came_from: dict[int, int] = {}
    waiting = [start]
    for node in waiting:  # grows while we walk: breadth first
        for follower in followers[node]:
            if follower == start:
                way = [node]
                while way[-1] != start:
                    way.append(came_from[way[-1]])
                return tuple(reversed(way))
            if follower not in came_from:
                came_from[follower] = node
                waiting.append(follower)
    return ()
