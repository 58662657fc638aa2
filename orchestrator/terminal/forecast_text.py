"""A forecast as lines for the terminal: sums, shares by axis, and time against the number of GPUs."""

from __future__ import annotations

from orchestrator.planning.forecast import Forecast
from orchestrator.scheduling.makespan import GpuCount

_BAR = 48  # characters of the longest bar


def forecast_lines(forecast: Forecast) -> list[str]:
    """What is left to pay for, an empty line between its parts; nothing left is one line."""
    if not forecast.left.cells:
        return [f"nothing is left to do; checkpoints: {size(forecast.whole.checkpoint_bytes)}"]
    return [*_sums(forecast), "", *_shares(forecast), "", *_counts(forecast)]


def _sums(forecast: Forecast) -> list[str]:
    left = forecast.left
    money = "" if left.money is None else f", {left.money:,.2f} at {forecast.price:g} a GPU-hour"
    lines = [
        f"left to do: {hours(left.unit_hours)} {forecast.unit}-hours{money}; rates {forecast.rates.origin}",
        f"checkpoints: {size(forecast.whole.checkpoint_bytes)} when all cells are done",
    ]
    if forecast.critical is not None:
        lines.append(f"longest chain: {time_text(forecast.critical.seconds)} for {forecast.critical.chain}")
    return lines


def _shares(forecast: Forecast) -> list[str]:
    money = forecast.price is not None and forecast.on_gpus
    head = ["left, by axis", "", "cells", "MACs", f"{forecast.unit}-hours", ""]
    rows = [[*head, *(["money"] if money else []), "checkpoints"]]
    axis = ""
    for share in forecast.shares:
        rows.append(
            [
                share.axis.replace("_", " ") if share.axis != axis else "",
                share.value,
                str(share.left.cells),
                percent(share.left.macs, forecast.left.macs),
                hours(share.left.unit_hours),
                percent(share.left.unit_hours, forecast.left.unit_hours),
                *([f"{share.left.money or 0:,.2f}"] if money else []),
                size(share.left.checkpoint_bytes),
            ]
        )
        axis = share.axis
    return aligned(rows)


def _counts(forecast: Forecast) -> list[str]:
    unit = "GPUs" if forecast.on_gpus else "CPUs"
    known = [row.seconds for row in forecast.counts if row.seconds]
    longest = max(known, default=0.0)
    lines = [f"{unit:>5}  {'time':>9}"] + [_count_line(row, longest) for row in forecast.counts]
    if forecast.enough is not None:
        lines.append(f"more than {forecast.enough} {unit} do not help: the longest chain sets the time")
    return lines


def _count_line(row: GpuCount, longest: float) -> str:
    if row.seconds is None:
        return f"{row.count:>5}  {'-':>9}  some cell needs more"
    bar = "#" * max(1, round(_BAR * row.seconds / longest)) if longest > 0 else ""
    return f"{row.count:>5}  {time_text(row.seconds):>9}  {bar}"


def aligned(rows: list[list[str]], words: int = 2) -> list[str]:
    """Columns in line: the first `words` ones to the left, the others, of figures, to the right."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(
            text.ljust(width) if place < words else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def percent(part: float, whole: float) -> str:
    """A part of something as people read it."""
    return f"{100 * part / whole:.0f} %" if whole > 0 else "-"


def work(flops: float) -> str:
    """Floating-point operations in the unit that suits them."""
    return _scaled(flops, ("FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP", "EFLOP"))


def hours(value: float) -> str:
    """Hours with as many digits as they deserve."""
    return f"{value:,.1f}" if value >= 10 else f"{value:.2g}"


def size(count: int) -> str:
    """Bytes in the unit that suits them, powers of 1000."""
    return _scaled(count, ("B", "kB", "MB", "GB", "TB"))


def _scaled(amount: float, units: tuple[str, ...]) -> str:
    for unit in units[:-1]:
        if amount < 1000:
            return f"{amount:.4g} {unit}"
        amount /= 1000
    return f"{amount:.4g} {units[-1]}"


def time_text(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for limit, divisor, unit in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / divisor:.3g} {unit}"
    return f"{seconds / 86400:,.1f} d"
