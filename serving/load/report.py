"""Report of a load test: one HTML file with SVG charts, and a table of text."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from serving.load.charts import Series, line_chart
from serving.load.knee import Knee
from serving.load.measurement import PERCENTILES, Step

_STYLE = """body{font:15px/1.45 system-ui,sans-serif;color:#222;background:#fff;
margin:2rem auto;max-width:46rem;padding:0 1rem}
h1{font-size:1.35rem;margin-bottom:.2rem}h2{font-size:1.05rem;margin-top:1.8rem}p{margin:.3rem 0 1rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.87rem}
th,td{text-align:right;padding:.25rem .5rem;border-bottom:1px solid #e4e4e4}th{font-weight:600}
td{white-space:nowrap}
.scroll{overflow-x:auto}svg{width:100%;height:auto;display:block}.knee td{background:#fff6da}"""
_PERCENTILE_POINTS = (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 98, 99, 99.9, 100)
_MOST_CURVES = 8  # of single steps in one chart; more cannot be distinguished


def text_header(*, has_batches: bool, has_use: bool) -> str:
    """Returns the first line of the table that grows on standard output."""
    batches = f"{'mean batch':>12}" if has_batches else ""
    use = f"{'server cores':>14}{'server MB':>11}" if has_use else ""
    percentiles = "".join(f"{f'p{value:g} ms':>10}" for value in PERCENTILES)
    return f"{'pace':<20}{'requests/s':>12}{'images/s':>12}{percentiles}{'max ms':>10}{'errors':>8}{batches}{use}"


def text_line(step: Step, *, has_batches: bool, has_use: bool) -> str:
    """Returns a step's line."""
    batches = f"{_known(step.mean_batch_size, 1):>12}" if has_batches else ""
    use = f"{_known(step.server_cores, 2):>14}{_megabytes(step):>11}" if has_use else ""
    latencies = "".join(f"{_milliseconds(step, value):>10}" for value in (*PERCENTILES, 100))
    rates = f"{step.requests_per_second:>12.1f}{step.images_per_second:>12.1f}"
    return f"{step.pace!s:<20}{rates}{latencies}{step.errors:>8}{batches}{use}"


def html_report(steps: Sequence[Step], found: Knee | None, *, title: str, about: str) -> str:
    """Returns the whole page.

    Args:
        steps: What was measured, in the order of the pace.
        found: Their knee; None where nothing was answered.
        title: Its first line.
        about: A line on what was asked, where and how.
    """
    best = found.step if found is not None else None
    parts = [f"<h1>{html.escape(title)}</h1><p>{html.escape(about)}</p>"]
    if len(steps) > 1:
        unit = "requests on their way" if steps[0].pace.concurrency is not None else "requests due per second"
        said = "Nothing was answered." if found is None else f"{str(found)[:1].upper()}{str(found)[1:]}."
        parts.append(f"<h2>Throughput</h2><p>{html.escape(said)}</p>{_throughput_chart(steps, unit, best)}")
        parts.append(f"<h2>Latency</h2>{_latency_chart(steps, unit, best)}")
    parts.append(f"<h2>Answered within</h2><p>One line a pace.</p>{_percentile_chart(steps)}")
    parts.append(f"<h2>Figures</h2>{_table(steps, best)}")
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width, initial-scale=1"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _throughput_chart(steps: Sequence[Step], unit: str, best: Step | None) -> str:
    points = [(step.pace.value, step.requests_per_second) for step in steps]
    mark = best.pace.value if best is not None else None
    return line_chart([Series("answers per second", points)], x_title=unit, y_title="answers/s", mark_x=mark)


def _latency_chart(steps: Sequence[Step], unit: str, best: Step | None) -> str:
    answered = [step for step in steps if step.latencies_seconds]
    series = [
        Series(f"p{value:g}", [(step.pace.value, step.milliseconds_at(value)) for step in answered])
        for value in PERCENTILES
    ]
    mark = best.pace.value if best is not None else None
    return line_chart(series, x_title=unit, y_title="ms", mark_x=mark)


def _percentile_chart(steps: Sequence[Step]) -> str:
    answered = [step for step in steps if step.latencies_seconds]
    stride = math.ceil(len(answered) / _MOST_CURVES) or 1
    series = [
        Series(f"{step.pace.value:g}", [(float(value), step.milliseconds_at(value)) for value in _PERCENTILE_POINTS])
        for step in answered[::stride]
    ]
    return line_chart(series, x_title="percent of the answers", y_title="ms", even_x=True, dots=False)


def _table(steps: Sequence[Step], best: Step | None) -> str:
    heads = ["pace", "requests/s", "images/s", *(f"p{value:g} ms" for value in PERCENTILES), "max ms"]
    heads += ["how they ended", "batch sizes", "server cores", "server MB"]
    rows = []
    for step in steps:
        ended = ", ".join(f"{count} {name}" for name, count in step.statuses.most_common())
        sizes = ", ".join(f"{count} of {size}" for size, count in step.batch_sizes.items())
        cells = [str(step.pace), f"{step.requests_per_second:.1f}", f"{step.images_per_second:.1f}"]
        cells += [*(_milliseconds(step, value) for value in (*PERCENTILES, 100)), ended, sizes or "not known"]
        cells += [_known(step.server_cores, 2), _megabytes(step)]
        mark = ' class="knee"' if step is best and len(steps) > 1 else ""
        rows.append(f"<tr{mark}>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(rows)}</table></div>'


def _milliseconds(step: Step, percentile: float) -> str:
    value = step.milliseconds_at(percentile)
    return f"{value:.1f}" if math.isfinite(value) else "-"


def _known(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _megabytes(step: Step) -> str:
    return _known(None if step.server_memory_bytes is None else step.server_memory_bytes / 1e6, 0)
