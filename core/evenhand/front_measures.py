"""What a front is worth as a whole, and where it bends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def hypervolume(points: Sequence[Sequence[float]], reference: Sequence[float]) -> float:
    """The volume of what some point is at least as good as, and the reference at most: lower is better in each
    coordinate. A point that is worse than the reference in one coordinate adds nothing.
    """
    inside = sorted({tuple(map(float, p)) for p in points if all(x < r for x, r in zip(p, reference, strict=True))})
    if not inside:
        return 0.0
    if len(reference) == 1:
        return reference[0] - inside[0][0]
    total = 0.0  # in slices along the first coordinate: between two values of it, the points before count
    ends = [p[0] for p in inside[1:]] + [reference[0]]
    for count, (point, end) in enumerate(zip(inside, ends, strict=True), start=1):
        if end > point[0]:
            total += (end - point[0]) * hypervolume([p[1:] for p in inside[:count]], reference[1:])
    return total


def knee(front: Mapping[int, Sequence[float]]) -> int | None:
    """The number of the configuration where a front bends; None for fewer than three, or where all lie on a line.

    Each objective is measured between its best (0) and its worst value (1) on the front; the least sum is the knee.
    With two objectives it is the point farthest below the line between the ends of the front.
    """
    if len(front) < 3:
        return None
    columns = list(zip(*front.values(), strict=True))
    spans = [(min(column), max(column) - min(column)) for column in columns]
    sums = {
        number: sum((x - low) / span for x, (low, span) in zip(values, spans, strict=True) if span)
        for number, values in front.items()
    }
    ends = {min(front, key=lambda n: (front[n][k], sums[n])) for k in range(len(columns))}
    best = min(sums, key=lambda n: (sums[n], n))
    return best if sums[best] < min(sums[n] for n in ends) - 1e-9 else None
