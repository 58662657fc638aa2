"""The videos that decide, as film strips: confident mistakes, and what of two cells one alone gets right."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from dash import html

from catalog import Catalog
from catalog.queries.predictions import (
    VideoPlace,
    confident_videos,
    decided_differently,
    leaders,
    video_places,
)
from catalog.storage.errors import ActionGridError
from dashboards.render.markup import as_html

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from dash.development.base_component import Component

Row = dict[str, Any]
STRIP_ROUTE, CLIP_ROUTE = "/strip", "/clip"
NOT_HERE = "Frames are not on this machine: run the dashboard or the report where the datasets' folders are."
_IN_REPORT, _FRAMES_IN_REPORT = 4, 8
MISTAKES = "Most confident mistakes"


class VideoFiles(Protocol):
    """Where pictures come from; each raises an ActionGridError where there is nothing to show."""

    def strip(self, place: VideoPlace, most: int = 16) -> bytes:
        """The sampled frames side by side, at most `most`, as one JPEG."""
        ...

    def file(self, place: VideoPlace) -> tuple[Path, str]:
        """The video's file and its type."""
        ...

    def not_played(self, place: VideoPlace) -> str:
        """Why there is no such file that a browser plays; empty where there is one."""
        ...


Source = Callable[[Row], str | None]
"""The address of a row's film strip or clip; None where there is none."""
Reason = Callable[[Row], str]
"""Why a row has no clip; empty where nobody need know."""


def video_text(row: Row) -> str:
    """What a cell took a video for, how probable that was, and the truth.

    `jump taken for fall (49.5 %, truth 48.7 %)`: without the truth's share nobody sees that it was close. Of
    what it got right `jump, rightly (80.2 %)`.
    """
    if row["correct"]:
        return f"{row['class']}, rightly{_sure(row)}"
    return f"{row['class']} taken for {row['predicted_class']}{_sure(row)}"


def _sure(row: Row) -> str:
    said, truth = row["probability"], row["true_probability"]
    if said is None:
        return ""
    if row["correct"]:
        return f" ({100 * said:.1f} %)"
    return f" ({'' if row['exact'] else 'at most '}{100 * said:.1f} %, truth {100 * truth:.1f} %)"


def decided_text(row: Row) -> str:
    """What two cells say of a video: `jump: jump (80.2 %) against fall (jump: 3.0 %)`."""
    first, second = (_given(row, name) for name in ("first", "second"))
    return f"{row['class']}: {first} against {second}"


def _given(row: Row, name: str) -> str:
    said, share = row[f"{name}_class"], row[f"{name}_probability"]
    if share is None:
        return str(said)
    about = "" if said == row["class"] else f"{row['class']}: "
    return f"{said} ({about}{100 * share:.1f} %)"


def route(kind: str, row: Row) -> str:
    """The address of a row's film strip or clip (`STRIP_ROUTE`, `CLIP_ROUTE`)."""
    return f"{kind}/{row['key']}/{row['evaluation']}/{row['index']}"


def gallery(
    rows: pa.Table, text: Callable[[Row], str], strip: Source, clip: Source, missing: Reason = lambda _: ""
) -> Component:
    """Draw rows as film strips with words below; what has no clip to play says why (`missing`)."""
    films = [_film(row, text(row), strip(row), clip(row), missing(row)) for row in rows.to_pylist()]
    return html.Div(films, className="films")


def _film(row: Row, words: str, strip: str | None, clip: str | None, missing: str) -> Component:
    name = str(row["video"] or f"video {row['index']}").rpartition("/")[2]
    about = f"sampled frames of {name}: {words}"
    shown: list[Any] = []
    if strip is not None:
        shown.append(html.Img(src=strip, alt=about, className="strip"))
    if clip is not None:
        video = html.Video(src=clip, controls=True, preload="none", muted=True, className="clip")
        shown.append(html.Details([html.Summary("play"), video]))
    elif strip is not None and missing:
        shown.append(html.P(f"cannot be played: {missing}", className="soft"))
    return html.Figure([*shown, html.Figcaption([html.B(words), html.Span(f" {name}", className="soft")])])


def served_gallery(
    rows: pa.Table, text: Callable[[Row], str], files: VideoFiles | None, places: Places
) -> Component:
    """Draw a gallery with the addresses of the pictures of those videos whose places are known."""

    def strip(row: Row) -> str | None:
        return route(STRIP_ROUTE, row) if row["index"] in places else None

    def missing(row: Row) -> str:
        place = places.get(row["index"])
        return NOT_HERE if place is None or files is None else files.not_played(place)

    def clip(row: Row) -> str | None:
        return None if missing(row) else route(CLIP_ROUTE, row)

    return gallery(rows, text, strip, clip, missing)


def shown_of(rows: pa.Table, first: int = 0) -> str:
    """How many of the videos there are: `12 of 17 videos`, or `5 videos` where all of them are shown.

    Of those from the place `first` on it says which: `13 to 17 of 17 videos`.
    """
    whole = int(rows.column("videos")[0].as_py()) if rows.num_rows else 0
    cut = f"{rows.num_rows:,} of " if rows.num_rows < whole else ""
    if first:
        cut = f"{first + 1:,} to {first + rows.num_rows:,} of "
    return f"{cut}{whole:,} video{'' if whole == 1 else 's'}"


Places = Mapping[int, VideoPlace]
"""Where videos lie, by their numbers."""


def places_of(catalog: Catalog, rows: pa.Table) -> Places:
    """Where the videos of some rows lie, which are of one measurement of one cell."""
    if rows.num_rows == 0:
        return {}
    first = rows.slice(0, 1).to_pylist()[0]
    return video_places(catalog, first["key"], first["evaluation"], rows.column("index").to_pylist())


def first_problem(files: VideoFiles | None, places: Places, rows: pa.Table) -> str | None:
    """Why the first row has no film strip; None where it has one, or there are no rows."""
    if rows.num_rows == 0:
        return None
    if files is None:
        return NOT_HERE
    try:
        _strip(files, places, rows.slice(0, 1).to_pylist()[0], 1)
    except ActionGridError as error:
        return f"{NOT_HERE} ({error.what})"
    return None


def _strip(files: VideoFiles, places: Places, row: Row, most: int) -> bytes:
    place = places.get(row["index"])
    if place is None:
        raise ActionGridError("nothing tells where this video lies", row["video"] or "")
    return files.strip(place, most)


def report_section(catalog: Catalog, study: str | None, files: VideoFiles) -> str:
    """The report's part of a study: of each dataset the best cell's mistakes, and the two best compared."""
    found = leaders(catalog, study).to_pylist()
    parts = [
        part
        for dataset in dict.fromkeys(row["dataset"] for row in found)
        for part in _of_dataset(catalog, files, [row for row in found if row["dataset"] == dataset])
    ]
    return as_html([html.H3("The videos that decide"), *parts]) if parts else ""


def _of_dataset(catalog: Catalog, files: VideoFiles, best: list[Row]) -> list[Component]:
    first = best[0]
    said = f"{MISTAKES} of {first['cell']}, the best cell on {first['dataset']}"
    rows = confident_videos(catalog, first["key"], most=_IN_REPORT)
    parts = _in_report(catalog, files, said, rows, video_text)
    if len(best) == 2:
        keys = (first["key"], best[1]["key"])
        for right, wrong, first_right in ((first, best[1], True), (best[1], first, False)):
            rows = decided_differently(catalog, keys, first_right=first_right, most=_IN_REPORT)
            said = f"{right['cell']} right, {wrong['cell']} wrong"
            parts += _in_report(catalog, files, said, rows, decided_text)
    return parts


def _in_report(
    catalog: Catalog, files: VideoFiles, title: str, rows: pa.Table, text: Callable[[Row], str]
) -> list[Component]:
    """A gallery with its pictures inside; nothing where there are no rows."""
    if rows.num_rows == 0:
        return []
    places = places_of(catalog, rows)
    problem = first_problem(files, places, rows)
    note = [] if problem is None else [html.P(problem, className="soft")]

    def strip(row: Row) -> str | None:
        try:
            content = _strip(files, places, row, _FRAMES_IN_REPORT)
        except ActionGridError:
            return None
        return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"

    return [html.H4(f"{title}: {shown_of(rows)}"), *note, gallery(rows, text, strip, lambda row: None)]
