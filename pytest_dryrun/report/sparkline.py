"""A series as the points of a small drawing."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_dryrun.report.text import number

WIDTH, HEIGHT, MARGIN = 160, 28, 2
MOST_POINTS = 320


def points(series: Sequence[Sequence[object]], column: int) -> str:
    """The `points` of an SVG polyline for one column of `[t_s, memory_bytes, cpu_percent]`, scaled from 0 to its peak.

    Empty where fewer than two samples can be drawn. Of long series the peak of each stretch is kept.
    """
    samples = [(float(row[0]), float(row[column])) for row in series if number(row[0]) and number(row[column])]  # type: ignore[arg-type]
    if len(samples) < 2:
        return ""
    stride = -(-len(samples) // MOST_POINTS)
    samples = [max(samples[i : i + stride], key=lambda sample: sample[1]) for i in range(0, len(samples), stride)]
    start, span = samples[0][0], (samples[-1][0] - samples[0][0]) or 1.0
    peak = max(height for _, height in samples) or 1.0
    inner_width, inner_height = WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN
    return " ".join(
        f"{MARGIN + (at - start) / span * inner_width:.1f},{HEIGHT - MARGIN - height / peak * inner_height:.1f}"
        for at, height in samples
    )
