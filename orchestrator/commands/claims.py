"""`actiongrid claims`: what results say about the paper's statements, and about one's own."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from catalog.storage.errors import WORK_FAILED, ActionGridError
from orchestrator.commands.common import (
    JsonOption,
    NotFoundError,
    StorageOption,
    chosen_storage,
    command_line,
    existing_storage,
)

if TYPE_CHECKING:
    from catalog.claims.model import Claim
    from catalog.queries.filters import Source
    from dashboards.claims.judge import Judgement

ClaimsOption = Annotated[
    list[Path] | None,
    typer.Option("--claims", help="YAML file of your own claims (docs/claims.md); can be given again."),
]


class ClaimFailsError(ActionGridError):
    """With `--check`: results speak against a claim."""

    exit_code = WORK_FAILED


def claims(
    name: Annotated[str, typer.Argument(help="A claim's name, or a pattern such as 'tsn-*'.")] = "*",
    files: ClaimsOption = None,
    published: Annotated[bool, typer.Option("--published", help="Published results only.")] = False,
    own: Annotated[bool, typer.Option("--own", help="Your own results only.")] = False,
    study: Annotated[str | None, typer.Option(help="Of your own, this study only.")] = None,
    cases: Annotated[bool, typer.Option("--cases", help="Show every case with its interval.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 if a claim fails.")] = False,
    as_json: JsonOption = False,
    storage: StorageOption = None,
) -> None:
    """Judge claims about results: each holds, fails, or cannot be told, with the cells that say so."""
    if published and own:
        raise typer.BadParameter("--published and --own leave nothing; give one of them or none")
    chosen = chosen_storage(storage) if published else existing_storage(storage)
    from catalog import Catalog
    from catalog.claims.load import claims_for
    from catalog.queries.filters import Filters
    from dashboards.claims.sets import judgements, study_claims

    general = claims_for(chosen, files or ())
    source: Source = "published" if published else "own" if own else "both"
    with Catalog.open(chosen.root, chosen.fetch_missing, must_exist=not published) as catalog:
        filters = Filters(study=(study,) if study else ())
        known = [*general, *(one for own in study_claims(catalog, filters).values() for one in own)]
        _require(name, known)
        named = partial(_is_named, name)
        judged = judgements(catalog, general, filters, source, named)
    if as_json:
        _print(judged, as_json=True)
    else:
        shown, hidden = _sorted_out(judged, everything=cases or published or name != "*")
        _print(shown, cases=cases)
        for line in _hidden_line(hidden, storage):
            typer.echo(line)
    wrong = [one.claim.name for one in judged if one.verdict == "fails"]
    if check and wrong:
        raise ClaimFailsError(f"{len(wrong)} claims fail", ", ".join(wrong), "see their cases with --cases")


def _sorted_out(judged: list[Judgement], *, everything: bool) -> tuple[list[Judgement], int]:
    """One's own claims first; of the paper's those that one's results say something of, unless `everything`.

    Also returned: how many claims are left out.
    """
    from catalog.claims.load import shipped_claims

    papers = {claim.name for claim in shipped_claims()}
    told = {one.claim.name for one in judged if one.source == "own" and one.is_told}
    kept = [one for one in judged if everything or one.claim.name not in papers or one.claim.name in told]
    left = {one.claim.name for one in judged} - {one.claim.name for one in kept}
    return sorted(kept, key=lambda one: one.claim.name in papers), len(left)


def _hidden_line(claims: int, storage: str | None) -> list[str]:
    if not claims:
        return []
    are = "1 claim of the paper is" if claims == 1 else f"{claims} claims of the paper are"
    see = command_line("claims", "--published", storage=storage)
    line = f"{are} about results that this storage does not have: `{see}` judges by the published ones"
    return [f"{line}; --cases, or a name, shows all here"]


def _is_named(name: str, claim: Claim) -> bool:
    return fnmatchcase(claim.name, name)


def _require(name: str, claims: list[Claim]) -> None:
    if not any(_is_named(name, claim) for claim in claims):
        from catalog.field_errors import choices

        raise NotFoundError("no such claim", repr(name), choices(name, [claim.name for claim in claims]))


def _print(judged: list[Judgement], *, cases: bool = False, as_json: bool = False) -> None:
    from dashboards.claims.words import UNCERTAINTY, as_json_text, as_text

    if as_json:
        typer.echo(as_json_text(judged))
        return
    if judged:
        typer.echo("\n\n".join(as_text(one, cases=cases) for one in judged))
        typer.echo(f"\n{UNCERTAINTY}")
