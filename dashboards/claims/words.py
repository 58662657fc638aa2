"""What judgements say, in words and as plain rows: for the terminal, pages, the report and files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from catalog.claims.model import Claim
from dashboards.claims.cases import compared_words
from dashboards.claims.judge import JudgedCase, Judgement, Verdict

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]

SHOWN = 4
"""Exceptions and missing results that a sentence names."""

UNCERTAINTY = (
    "Intervals are at 95 %. Of a paper's results they tell the sampling of the validation videos alone "
    "(binomial): each is one training, and how far another one would be is not known. A paper's statement is "
    "therefore judged by its numbers as measured, and what of it is beyond the videos' uncertainty stands "
    "beside. Your own results are judged by their intervals: of videos and, with several seeds, of seeds; "
    "differences are paired by video where predictions are there."
)


def claim_rows(judgements: Sequence[Judgement]) -> list[Row]:
    """Return one row a claim and set of results: the verdict and what it rests on."""
    return [_claim_row(one) for one in judgements]


def as_table(rows: Sequence[Row]) -> pa.Table:
    """Return rows as a table; lists become text."""
    import pyarrow as pa

    plain = [
        {name: "; ".join(value) if isinstance(value, list) else value for name, value in row.items()}
        for row in rows
    ]
    return pa.Table.from_pylist(plain)


def _claim_row(one: Judgement) -> Row:
    return {
        "claim": one.claim.name,
        "statement": one.claim.statement,
        "source": one.claim.source,
        "results": one.source,
        "study": one.study,
        "verdict": str(one.verdict),
        "judged_by": "numbers as measured" if one.source == "published" else "intervals",
        "as_measured": str(one.as_measured),
        "beyond_uncertainty": str(one.beyond_uncertainty),
        "says": says(one),
        "expected": expected(one.claim),
        "cases": len(one.cases),
        "met": _count(one, "as_measured", Verdict.HOLDS),
        "not_met": _count(one, "as_measured", Verdict.FAILS),
        "met_beyond": _count(one, "beyond_uncertainty", Verdict.HOLDS),
        "not_met_beyond": _count(one, "beyond_uncertainty", Verdict.FAILS),
        "missing": missing(one),
        "note": one.claim.note,
    }


def case_rows(judgements: Sequence[Judgement]) -> list[Row]:
    """Return one row a claim, set of results and case: its number, interval and verdicts."""
    return [_case_row(one, case) for one in judgements for case in one.cases]


def _case_row(one: Judgement, judged: JudgedCase) -> Row:
    interval = judged.interval
    return {
        "claim": one.claim.name,
        "results": one.source,
        "study": one.study,
        "case": judged.case.name,
        "value": judged.case.value,
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "unit": one.claim.unit,
        "expected": str(one.claim.expect),
        "as_measured": str(judged.as_measured),
        "beyond_uncertainty": str(judged.beyond_uncertainty),
        "paired": judged.paired,
        "seeds": judged.seeds,
        "missing": list(judged.case.missing),
    }


def expected(claim: Claim) -> str:
    """Return what a claim asks of its cases: `tp − no tp above 20 points in every case`."""
    which = {"every": "in every case", "most": "in most cases", "some": "in some case"}[claim.cases]
    steps = [*product(*(claim.pairs(axis) for axis in claim.compare))]
    compared = compared_words(claim, steps[0]) if len(steps) == 1 and claim.compare else ""
    mean = f"mean over {' and '.join(claim.average_over)}" if claim.average_over else ""
    measure = "" if claim.measures == {"top1"} else " − ".join(sorted(claim.measures))
    parts = [measure if "measure" not in claim.compare else "", compared, mean]
    return " ".join([", ".join(filter(None, parts)), f"{claim.expect} {claim.unit}".rstrip(), which]).strip()


def missing(one: Judgement) -> list[str]:
    """Return the results that the claim needs and that are not there, each once."""
    return list(dict.fromkeys(name for case in one.cases for name in case.case.missing))


def says(one: Judgement) -> str:
    """Return the verdict's grounds in sentences: how many cases, the exceptions, what is missing."""
    if not one.cases:
        return "No results that it is about."
    known = [case for case in one.cases if case.case.value is not None]
    sentences = []
    if known:
        beyond = _count(one, "beyond_uncertainty", Verdict.HOLDS)
        met = _count(one, "as_measured", Verdict.HOLDS)
        asked = f"{one.claim.expect} {one.claim.unit}".rstrip()
        sure = f" ({beyond} beyond uncertainty)" if any(case.interval for case in known) else ""
        sentences += [f"{_values(known, one.claim.unit)}: {met} of {len(one.cases)} {asked}{sure}"]
    sentences += _exceptions(one)
    gone = missing(one)
    sentences += [f"Missing: {_few(gone)}"] if gone else []
    sentences += _unknown_videos(known) + _one_seed(one, known)
    return ". ".join(sentences) + "."


def _values(cases: Sequence[JudgedCase], unit: str) -> str:
    values = [case.case.value for case in cases if case.case.value is not None]
    digits = 2 if unit else 3
    ends = dict.fromkeys(f"{value:.{digits}f}" for value in (min(values), max(values)))
    return f"{' to '.join(ends)} {unit}".rstrip()


def _exceptions(one: Judgement) -> list[str]:
    if one.verdict is Verdict.HOLDS and one.claim.cases == "some":
        return []
    wrong = [case for case in one.cases if case.as_measured is Verdict.FAILS]
    if not wrong:
        return []
    beyond = sum(case.beyond_uncertainty is Verdict.FAILS for case in wrong)
    names = [f"{case.case.name} {number(case, one.claim.unit)}" for case in wrong]
    return [f"Not so in {len(wrong)} ({beyond} beyond uncertainty): {_few(names)}"]


def number(judged: JudgedCase, unit: str) -> str:
    """Return a case's number and its interval: `19.90 [18.65, 21.14]`."""
    digits = 2 if unit else 3
    value = "" if judged.case.value is None else f"{judged.case.value:.{digits}f}"
    if judged.interval is None:
        return value
    return f"{value} [{judged.interval.low:.{digits}f}, {judged.interval.high:.{digits}f}]"


def _unknown_videos(known: Sequence[JudgedCase]) -> list[str]:
    without = sum(case.interval is None for case in known)
    many = "it was" if without == 1 else f"{without} cases were"
    return [f"On how many videos {many} measured is not known"] if without else []


def _one_seed(one: Judgement, known: Sequence[JudgedCase]) -> list[str]:
    alone = sum(case.seeds == 1 for case in known)
    if one.source == "published" or not alone:
        return []
    return [f"With one seed in {alone} of {len(known)}: how far other seeds would be is not known"]


def _count(one: Judgement, field: str, verdict: Verdict) -> int:
    return sum(getattr(case, field) is verdict for case in one.cases)


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return "; ".join(names[:SHOWN]) + more


def whose(source: str, study: str) -> str:
    """Return whose results a set is: `yours (kitchen)`, `published (Chen et al. 2021)`."""
    owner = "yours" if source == "own" else source
    return f"{owner} ({study})" if study else owner


def as_text(one: Judgement, *, cases: bool = False) -> str:
    """Return a judgement as lines for a terminal."""
    lines = [
        f"{str(one.verdict).upper():14}  {one.claim.name}: {whose(one.source, one.study)}",
        f"    {one.claim.statement}{f' ({one.claim.source})' if one.claim.source else ''}",
        f"    Asked: {expected(one.claim)}.",
        f"    {says(one)}",
    ]
    lines += [f"    {one.claim.note}"] if one.claim.note else []
    if one.as_measured is not one.beyond_uncertainty:
        lines += [f"    As measured: {one.as_measured}; beyond uncertainty: {one.beyond_uncertainty}."]
    if cases:
        lines += [f"      {_case_line(one, case)}" for case in one.cases]
    return "\n".join(lines)


def _case_line(one: Judgement, case: JudgedCase) -> str:
    paired = ", paired by video" if case.paired else ""
    shown = f"{number(case, one.claim.unit)}{paired}" if case.case.value is not None else "missing"
    return f"{case.beyond_uncertainty:14}  {case.case.name}: {shown}"


def as_json_text(judgements: Sequence[Judgement]) -> str:
    """Return judgements as JSON: a list, each with its cases."""
    rows = [{**_claim_row(one), "cases": [_case_row(one, case) for case in one.cases]} for one in judgements]
    return json.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False)
