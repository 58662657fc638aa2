"""Every page in a real browser, over a storage that nobody writes."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from catalog import Catalog
from tests.support.accessibility import violations
from tests.support.grid_events import DEMO, grid_events, write_quickly
from tests.support.grid_storage import BLOCKED, CLASSES, DONE, FAILING, RUNNING, key, name
from tests.support.pages import ONE_OF_A_KIND, PAGES, TAM, TSN, drawn
from tests.support.pictures import difference, same_fonts
from tests.support.windows import SCREENSHOTS, Dashboard, Look, look_at, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

MODULES = """() => {
    const plot = document.querySelector('.js-plotly-plot');
    const lines = plot && plot.data ? plot.data.filter((trace) => trace.customdata) : [];
    return [...new Set(lines.map((trace) => trace.legendgroup))].sort().join();
}"""
TELLS_THE_TIME = {"overview"}
"""Pages that say when something will be done, so that no two pictures are alike."""
ONLY_TAM = f"() => ({MODULES})() === 'tam'"


@pytest.mark.parametrize(
    ("scheme", "width", "names", "audited"),
    [
        pytest.param("light", 1280, tuple(PAGES), ONE_OF_A_KIND, id="light-1280"),
        pytest.param("dark", 390, ONE_OF_A_KIND, ONE_OF_A_KIND[::3], id="dark-390-one-of-a-kind"),
        *(
            pytest.param(scheme, width, tuple(PAGES), tuple(PAGES), marks=pytest.mark.long)
            for scheme in ("light", "dark")
            for width in (1280, 390)
        ),
    ],
)
def test_every_page_is_drawn_as_it_was_and_breaks_no_rule(
    browser: Browser,
    dashboard: Dashboard,
    scheme: str,
    width: int,
    names: tuple[str, ...],
    audited: tuple[str, ...],
) -> None:
    folder = SCREENSHOTS / f"{scheme}-{width}"
    folder.mkdir(parents=True, exist_ok=True)
    different: dict[str, str] = {}
    broken: dict[str, list[tuple[str, str, str]]] = {}
    with look_at(browser, dashboard.url, width, scheme) as look:
        compared = same_fonts(look.page)
        for page_name in names:
            page = look.open(PAGES[page_name])
            drawn(page)
            page.wait_for_timeout(400)
            shot = page.screenshot(path=folder / f"{page_name}.png", full_page=True)
            assert page.locator("#page .problem").count() == (page_name == "cell-failed")
            # Nothing but the boxes that scroll by themselves is wider than the window.
            assert page.evaluate("document.documentElement.scrollWidth") <= width, page_name
            assert page.evaluate("document.documentElement.dataset.theme") == scheme
            reference = f"{scheme}-{width}/{page_name}"
            how = difference(shot, reference) if compared and page_name not in TELLS_THE_TIME else ""
            for _ in range(8 if how else 0):  # on a busy machine a figure may be on its way
                page.wait_for_timeout(2000)
                if not (how := difference(page.screenshot(full_page=True), reference)):
                    break
            different |= {page_name: how} if how else {}
            if page_name in audited and (found := violations(page)):
                broken[page_name] = found
    assert different == {}
    assert broken == {}


def test_the_grid_says_every_state_in_words_and_leads_to_the_cells(look: Look) -> None:
    page = look.open("/grid")
    field = page.locator(f'.grid a[title^="{FAILING}"]')
    assert "failed" in field.inner_text() and "3 frames cannot be decoded" in str(
        field.get_attribute("title")
    )
    blocked = page.locator(f'.grid a[title^="{BLOCKED}"]')
    assert f"blocked by {FAILING}" in str(blocked.get_attribute("title"))
    running = page.locator(f'.grid a[title^="{RUNNING}"]')
    assert "epoch 6 of 6" in str(running.get_attribute("title"))
    assert "48 cells" not in page.locator(".counts").inner_text()
    assert "96 cells" in page.locator(".counts").inner_text()
    page.locator(f'.grid a[title^="{DONE}"]').click()
    page.wait_for_selector("h1")
    assert page.locator("h1").inner_text() == DONE
    assert page.url.endswith(f"/cell?key={TAM}")
    page.go_back()
    page.wait_for_selector(".grid")


def test_a_click_on_the_grids_drawing_opens_the_cell(look: Look) -> None:
    page = look.open("/grid?as=drawing&module=tam&backbone=resnet18&dataset=mini-ssv2&temporal_pooling=no")
    page.wait_for_selector(".js-plotly-plot[data-opens] .nsewdrag")
    box = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 6, box["y"] + box["height"] / 2)
    page.wait_for_selector("h1", timeout=15_000)
    assert page.locator("h1").inner_text().startswith("TAM-ResNet18-f8@mini-ssv2")


def test_filters_change_the_figures_and_the_address_and_a_link_reopens_the_view(look: Look) -> None:
    page = look.open("/findings?show=frames&source=own")
    page.wait_for_selector(".js-plotly-plot .trace")
    assert modules(page) == {"tsn", "tam"}
    page.locator("#filters summary").click()
    page.locator('[id*="filter"][id*="module"]').first.click()
    page.get_by_role("option", name="TAM").click()
    page.wait_for_url("**module=tam**", timeout=15_000)
    page.keyboard.press("Escape")
    page.wait_for_function(ONLY_TAM, timeout=15_000)
    assert "1 active" in page.locator("#filters-count").inner_text()
    address = page.url.removeprefix(look.url)
    assert "show=frames" in address and "source=own" in address
    again = look.open(address)
    again.wait_for_function(ONLY_TAM, timeout=15_000)


def modules(page: Page) -> set[str]:
    return set(str(page.evaluate(MODULES)).split(","))


def test_downloads_are_real_files_with_the_right_numbers(look: Look, storage: Path) -> None:
    page = look.open("/findings?show=pooling&source=own&dataset=mini-ssv2")
    page.wait_for_selector(".js-plotly-plot .trace, .js-plotly-plot .bars")
    files = {}
    for form in ("SVG", "PNG", "CSV"):
        with page.expect_download(timeout=15_000) as got:
            page.locator(".tools").first.get_by_text(form, exact=True).click()
        files[form] = Path(got.value.path()).read_bytes()
        assert got.value.suggested_filename == f"temporal-pooling-gain.{form.lower()}"
    assert files["PNG"].startswith(b"\x89PNG") and len(files["PNG"]) > 5000
    assert files["SVG"].startswith(b"<svg") and b"Mini-SSV2" in files["SVG"]
    rows = list(csv.DictReader(io.StringIO(files["CSV"].decode())))
    with Catalog.open(storage) as catalog:
        sql = """
            SELECT module, backbone, frames, seed, temporal_pooling AS tp, top1
            FROM results WHERE dataset = 'mini-ssv2'
        """
        own = {
            (r["module"], r["backbone"], r["frames"], r["seed"], r["tp"]): r["top1"]
            for r in catalog.query(sql).to_pylist()
        }

    def mean(*place: Any, pooled: bool) -> float:
        found = [own[(*place, seed, pooled)] for seed in (0, 1) if (*place, seed, pooled) in own]
        return sum(found) / len(found)

    assert len(rows) == 12
    for row in rows:
        place = row["module"], row["backbone"], int(row["frames"])
        assert float(row["gain"]) == pytest.approx(mean(*place, pooled=True) - mean(*place, pooled=False))


def test_a_cell_shows_its_chain_attempts_and_classes(look: Look) -> None:
    third = key("tam", "resnet18", False, "mini-ssv2", 32)
    page = look.open(f"/cell?key={third}")
    page.wait_for_selector(".js-plotly-plot .main-svg")
    text = page.locator("#page").inner_text()
    chain = [name("tam", "resnet18", False, "mini-ssv2", frames) for frames in (8, 16, 32)]
    assert f"Chain: {' → '.join(chain)}" in text
    assert "actiongrid run 'kitchen & co.yaml'" in text and "training:best" in text
    data = page.locator("section", has=page.get_by_role("heading", name="Accuracy by class"))
    data.locator("summary").click()
    data.locator("tbody tr").first.wait_for()
    assert all(one in data.inner_text() for one in CLASSES)
    page.get_by_role("link", name=chain[0]).first.click()
    page.wait_for_function(f"() => document.querySelector('h1').innerText === '{chain[0]}'")


def test_compare_shows_differences_first_and_how_sure_they_are(look: Look) -> None:
    page = look.open(f"/compare?cells={TAM},{TSN}")
    page.wait_for_selector(".js-plotly-plot .main-svg")
    headings = page.locator("h2").all_inner_texts()
    assert headings == [
        "Cells", "What differs in their configurations", "Curves", "Seeds averaged",
        "Paired significance: these two trainings, not the models in general", "Accuracy by class",
        "One right, the other wrong",
    ]  # fmt: skip
    settings = page.locator("section", has_text="What differs").locator("tbody tr").all_inner_texts()
    assert [one.split("\t")[0] for one in settings] == ["module", "recipe.lr"]
    paired = page.locator("section", has=page.get_by_role("heading", name="Paired significance"))
    paired.locator("summary").click()
    paired.locator("tbody tr").first.wait_for()
    assert "101" in paired.locator("td").all_inner_texts()


def test_sql_answers_reads_only_and_stops(look: Look) -> None:
    page = look.open("/sql")
    page.locator("#sql-text").fill("SELECT module, count(*) AS n FROM results GROUP BY ALL ORDER BY module")
    page.locator("#sql-run").click()
    page.wait_for_selector("h2:has-text('Answer')")
    assert "q=SELECT" in page.url
    answer = page.locator("section", has=page.get_by_role("heading", name="Answer"))
    assert [one.split("\t")[0] for one in answer.locator("tbody tr").all_inner_texts()] == ["tam", "tsn"]
    with page.expect_download() as got:
        answer.get_by_text("CSV").click()
    assert Path(got.value.path()).read_text().splitlines()[0] == "module,n"
    for statement, says in (
        ("DELETE FROM recorded.cells", "not one single read"),
        ("SELECT nothing FROM results", "query refused"),
        ("SELECT * FROM read_csv('/etc/passwd')", "query refused"),
    ):
        page.locator("#sql-text").fill(statement)
        page.keyboard.press("Control+Enter")
        page.wait_for_selector(f"#page .problem:has-text('{says}')", timeout=15_000)
    assert "Traceback" not in page.locator("body").inner_text()


def test_pages_work_by_keyboard(look: Look) -> None:
    page = look.open("/grid?dataset=mini-ssv2&seed=0")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "to the content"
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.grid a')"):
            break
    focused = page.evaluate("document.activeElement.title")
    page.keyboard.press("Enter")
    page.wait_for_selector("h1")
    assert str(focused).startswith(page.locator("h1").inner_text())


def test_the_theme_can_be_switched_and_is_kept(look: Look) -> None:
    page = look.open("/findings?show=frames")
    page.wait_for_selector(".js-plotly-plot .main-svg")
    page.locator("#theme-switch").click()
    page.wait_for_function("() => document.documentElement.dataset.theme === 'dark'")
    page.wait_for_function(
        "() => document.querySelector('.js-plotly-plot').layout.paper_bgcolor === '#14181d'", timeout=15_000
    )
    again = look.open("/grid")
    assert again.evaluate("document.documentElement.dataset.theme") == "dark"


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("/?frames=eight", "is no number"),
        ("/cell?key=nothing", "No cell has the key nothing"),
        ("/nowhere", "There is no page"),
        ("/compare?cells=nothing", "None of these cells"),
    ],
)
def test_a_wrong_address_gets_a_sentence(look: Look, address: str, says: str) -> None:
    page = look.open(address)
    page.wait_for_selector(f"#page .problem:has-text('{says}')", timeout=15_000)
    assert not re.search("Traceback|Error:", page.locator("body").inner_text())
    assert json.dumps(look.wrong) == "[]"


def test_the_first_page_says_what_runs_what_is_best_what_matters_and_what_failed(look: Look) -> None:
    page = look.open("/")
    page.wait_for_selector("text=all effects, with intervals")
    page.wait_for_function("() => !document.querySelector('#page').innerText.includes('being fitted')")
    text = page.locator("#page").inner_text()
    assert "to go, until" in text or "cannot be told before a cell like each has finished" in text
    assert "actiongrid run" in text and "--storage" in text
    assert "3 frames cannot be decoded" in text
    assert "significant at 5 % after Holm" in text
    progress = page.locator("progress")
    assert progress.count() >= 1
    assert "cells are done" in str(progress.first.get_attribute("aria-label"))
    page.locator("details summary", has_text="questions without results").click()
    assert "actiongrid evaluate --clips" in page.locator("#page").inner_text()
    page.locator("#page a", has_text="Accuracy by frames").first.click()
    page.wait_for_url("**/findings?show=frames")


def test_a_button_tells_the_drivers_and_says_what_came_of_it(look: Look) -> None:
    page = look.open(f"/cell?name={RUNNING}")
    page.locator("button[data-act=pause]").first.click()
    page.wait_for_function("() => document.querySelector('#told').innerText.includes('no driver works on')")
    assert "actiongrid run" in page.locator("#told").inner_text()
    look.wrong[:] = [said for said in look.wrong if "409" not in said]
    page = look.open(f"/cell?key={TAM}")
    assert page.locator("button[data-act]").count() == 0


def test_explore_is_made_by_its_address_and_leads_to_cells(look: Look) -> None:
    page = look.open("/explore?dataset=mini-ssv2")
    page.wait_for_selector(".js-plotly-plot[data-opens] .trace")
    page.locator(".option", has_text="top-1 (%)").click()
    page.wait_for_url("**axes=**")
    assert "top1" not in page.url
    page.locator(".choice", has_text="Groups by").locator(".option", has_text="frames").click()
    page.wait_for_url("**by=module,frames**")
    groups = page.locator("section", has=page.get_by_role("heading", name="Groups"))
    groups.locator("tbody tr").nth(5).wait_for()
    assert "descriptive mean of 4 models" in groups.inner_text()
    again = look.open(page.url.removeprefix(look.url))
    assert again.locator("section", has_text="Groups").locator("tbody tr").count() == 6
    again.locator("details summary", has_text="Data of this figure").click()
    again.locator("a", has_text=DONE).first.click()
    again.wait_for_selector("h1")
    assert again.locator("h1").inner_text() == DONE


def test_notes_tags_and_views_are_written_on_the_pages(browser: Browser, tmp_path: Path) -> None:
    write_quickly(tmp_path, grid_events(DEMO))
    with running(tmp_path, "--commands") as dashboard, look_at(browser, dashboard.url, 390) as look:
        page = look.open("/cell?name=TAM-Tiny-f8@synthetic-motion")
        page.locator("#tag-text").fill("poster")
        page.locator("button[data-annotate=tag]").click()
        page.wait_for_function("() => document.querySelector('#told').innerText.startsWith('tagged TAM-')")
        page.locator("#note-text").fill("look <b>again</b>")
        page.locator("button[data-annotate=note]").click()
        page.locator("li", has_text="look <b>again</b>").wait_for()
        assert page.locator("#note-text").input_value() == ""
        page.locator("button[data-annotate=forget]").click()
        page.wait_for_selector("text=No notes yet")
        page.locator("#page a", has_text="poster").click()
        page.wait_for_url("**/explore?tag=poster")
        page.locator("#view-name").fill("the poster's cells")
        page.locator("button[data-annotate=save]").click()
        view = page.locator("#page a", has_text="the poster's cells")
        view.wait_for()
        assert str(view.get_attribute("href")).endswith("/explore?tag=poster")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.locator("button[data-annotate=unsave]").click()
        page.wait_for_selector("text=No view has been saved yet")
