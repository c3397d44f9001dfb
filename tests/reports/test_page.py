"""The report page: one file, opened in a browser; sorted by mouse and keyboard; and what stands beside it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mmrec_bench.errors import ResourceError
from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.experiments.suite import Failure
from mmrec_bench.reports.report import Report, make_report
from tests.pages import Page

N_USERS = 200
MARKUP = '<b onclick="alert(1)">bold</b> & <script>window.broken = 1</script>'


@dataclass(frozen=True, slots=True)
class MadeUp(RunArtefact):
    """A run in memory."""

    scores: Any = None

    def per_user(self, columns: object = None) -> pd.DataFrame:
        users = [f"user-{number}" for number in range(N_USERS)]
        return pd.DataFrame({"part": "test", "user_id": users, "recall@20": self.scores, "ndcg@20": self.scores / 2})

    def config(self) -> dict[str, Any]:
        return {"dataset": {"card": "tiny"}, "protocol": {"cutoffs": [20], "name": self.manifest["protocol_id"]}}


def run_of(model: str, level: float, seed: int, **facts: Any) -> RunArtefact:
    rng = np.random.default_rng([seed, int(1e6 * level)])
    scores = level + np.linspace(-0.05, 0.05, N_USERS) + 0.002 * rng.standard_normal(N_USERS)
    manifest = {
        "task": "retrieval", "dataset": "tiny", "model": model, "seed": seed,
        "protocol_id": "retrieval/x-label/exclude-train/aaaa", "select_by": "recall@20",
        "fingerprints": {"config": f"{model:16}", "data": "d", "split": "s", "code": "c"},
        "device": {"name": "a CPU"}, "threads": 1, "seconds": {"train": 10 * level}, "peak_memory_mib": 10.0,
        "n_parameters": {"total": int(1e6 * level), "item_representation": 1}, "training": {"epochs_run": 3},
        **facts,
    }  # fmt: skip
    values = {"recall@20": float(scores.mean()), "ndcg@20": float(scores.mean()) / 2, "coverage@20": level}
    slices = {f"users:slice-{place}": {"n_users": 9, "recall@20": level} for place in range(12)}
    metrics = {"valid": values, "test": values, "test_slices": slices}
    return MadeUp(Path("none"), manifest, metrics, scores)


def report_of(**facts: Any) -> Report:
    levels = {"good": 0.4, "as good": 0.4001, "fair": 0.3, "poor": 0.2, MARKUP: 0.1}
    runs = [(None, run_of(name, level, seed, **facts)) for name, level in levels.items() for seed in range(5)]
    failures = [Failure(MARKUP, 0, MARKUP)]
    return make_report("A & B", "mmrec-bench report runs", runs, description=MARKUP, failures=failures)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("report")
    report_of().write(made)
    return made


class ReportPage(Page):
    """The page of a report."""

    def column(self, place: int) -> list[str]:
        cells = self.page.locator("table").first.locator(f"tbody tr > :nth-child({place})")
        return [text.strip() for text in cells.all_inner_texts()]


@pytest.fixture(params=[(400, "light"), (400, "dark"), (1400, "light"), (1400, "dark")], ids=str)
def opened(request: pytest.FixtureRequest, browser: Any, folder: Path) -> Iterator[ReportPage]:
    page = ReportPage(browser, folder / "report.html", *request.param)
    yield page
    page.close()


def test_a_browser_opens_it_without_a_request_an_error_or_overflow(opened: ReportPage, folder: Path) -> None:
    assert opened.asked == [(folder / "report.html").as_uri()]
    assert opened.said == []
    widths = opened.widths
    assert widths[0] <= widths[1], "the page is wider than the window"
    wide = opened.page.locator(".box").evaluate_all("boxes => boxes.some(box => box.scrollWidth > box.clientWidth)")
    assert wide, "the example must hold a table that is wider than its box"
    assert opened.page.evaluate("window.broken") is None
    assert MARKUP in opened.column(1), "names are shown as they are"
    paper, ink = opened.page.evaluate(
        "(({backgroundColor, color}) => [backgroundColor, color])(getComputedStyle(document.body))"
    )
    dark = opened.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert (sum(_channels(paper)) < sum(_channels(ink))) == dark


def _channels(colour: str) -> list[int]:
    return [int(value) for value in re.findall(r"\d+", colour)[:3]]


def test_the_first_column_stays_in_sight(opened: ReportPage) -> None:
    box = opened.page.locator(".box", has=opened.page.get_by_text("users:slice-11")).first
    cell = box.locator("tbody th").first
    before = cell.bounding_box()
    assert box.evaluate("box => (box.scrollLeft = 200, box.scrollLeft)") > 0
    assert cell.bounding_box() == before


def test_columns_are_sorted_by_mouse_and_keyboard(opened: ReportPage) -> None:
    head = opened.page.locator("table").first.locator("thead th")
    names = head.all_inner_texts()
    place = names.index("recall@20")
    header, button = head.nth(place), head.nth(place).locator("button")
    assert header.get_attribute("aria-sort") == "none"
    button.click()
    assert header.get_attribute("aria-sort") == "descending"
    shown = [float(text.split()[0]) for text in opened.column(place + 1)]
    assert shown == sorted(shown, reverse=True)
    button.press("Enter")
    assert header.get_attribute("aria-sort") == "ascending"
    assert [float(text.split()[0]) for text in opened.column(place + 1)] == sorted(shown)
    head.first.locator("button").focus()
    opened.page.keyboard.press("Space")
    assert head.first.get_attribute("aria-sort") == "ascending"
    assert header.get_attribute("aria-sort") == "none"
    assert opened.column(1) == [MARKUP, "as good", "fair", "good", "poor"]
    assert opened.said == []


def test_sorting_is_by_unrounded_values(browser: Any, tmp_path: Path) -> None:
    levels = {"b": 0.30000002, "a": 0.30000001, "c": 0.30000003}
    runs: list[tuple[str | None, RunArtefact]] = []
    for name, level in levels.items():
        run = run_of(name, 0.3, 0)
        values = {**run.metrics["test"], "recall@20": level}
        made = MadeUp(
            Path("none"), run.manifest, {"valid": {}, "test": values, "test_slices": {}}, run.per_user()["recall@20"]
        )
        runs.append((None, made))
    html, *_ = make_report("T", "c", runs).write(tmp_path)
    page = ReportPage(browser, html, 1400, "light")
    head = page.page.locator("table").first.locator("thead th")
    head.nth(head.all_inner_texts().index("recall@20")).locator("button").click()
    assert page.column(1) == ["c", "b", "a"]
    page.close()


class Anchors(HTMLParser):
    """Ids and references of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]


def test_links_lead_to_what_is_there_and_nowhere_else(folder: Path) -> None:
    found = Anchors((folder / "report.html").read_text(encoding="utf-8"))
    assert len(set(found.ids)) == len(found.ids)
    assert {link for link in found.links if not link.startswith("data:")} <= {f"#{name}" for name in found.ids}


def test_marks_are_the_same_in_all_forms(folder: Path) -> None:
    html, markdown = ((folder / f"report.{kind}").read_text(encoding="utf-8") for kind in ("html", "md"))
    (tex,) = (path.read_text(encoding="utf-8") for path in folder.glob("tables/retrieval-tiny-????????-accuracy.tex"))
    best = re.findall(r'class="best">(0\.\d+ ± [\d.]+)<', html)
    assert best == re.findall(r"\*\*(0\.\d+ ± [\d.]+)\*\*", markdown)
    assert [text.replace("±", r"$\pm$") for text in best] == re.findall(r"\\textbf\{(.*?)\}", tex)
    assert len(best) == 4, "two rows, in two metrics"
    second = re.findall(r'class="second">(0\.3\d+ ± [\d.]+|0\.1\d+ ± [\d.]+)<', html)
    assert second == re.findall(r"<ins>(0.*?)</ins>", markdown)
    assert len(second) == 2
    assert "\\toprule" in tex


def test_words_name_the_rows_that_are_marked() -> None:
    (group,) = report_of().groups["retrieval"]
    table = group.tables[0]
    place = table.header.index("recall@20")
    marked = {mark: {row[0] for row in table.cells() if row[place].mark == mark} for mark in ("best", "second")}
    best, second, *_ = group.findings
    assert set(re.findall("`([^`]*)`", best)) == marked["best"] == {"good", "as good"}
    assert set(re.findall("`([^`]*)`", second)) == marked["second"] == {"fair"}
    verdicts = {row[0]: row[-1] for row in group.tables[1].rows}
    first = table.rows[0][0]
    assert {name for name, verdict in verdicts.items() if verdict == "worse"} == set(verdicts) - marked["best"]
    assert {verdicts[name] for name in marked["best"] - {first}} == {"unclear"}


def test_latex_is_escaped_and_csv_is_unrounded(folder: Path) -> None:
    (tex,) = (path.read_text(encoding="utf-8") for path in folder.glob("tables/retrieval-tiny-????????-accuracy.tex"))
    assert r"\textless{}b onclick=" in tex
    assert r"\& \textless{}script\textgreater{}" in tex
    assert not re.search(r"(?<!\\)[&%#_](?!.*\\\\)", tex.partition("tabular")[2].partition("\\bottomrule")[0].strip())
    (path,) = folder.glob("tables/retrieval-tiny-????????-accuracy.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    means = [float(row["recall@20 mean"]) for row in rows]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert all(f'data-value="{value!r}"' in page for value in means)
    assert any(value != round(value, 6) for value in means)


def test_two_makings_are_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    report_of().write(tmp_path)
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert all((folder / name).read_bytes() == (tmp_path / name).read_bytes() for name in names)


def test_tables_that_stand_apart_say_why() -> None:
    runs = [
        (None, run_of("mf", 0.3, 0)),
        (None, run_of("mf", 0.4, 0, protocol_id="retrieval/other/exclude-train/bbbb")),
    ]
    report = make_report("T", "c", runs)
    first, second = report.groups["retrieval"]
    assert first.apart is None
    assert second.apart is not None
    assert "protocol_id retrieval/x-label/exclude-train/aaaa / retrieval/other/exclude-train/bbbb" in second.apart
    assert first.anchor != second.anchor
    assert first.title.startswith("tiny (x-label, protocol aaaa, data ")
    assert second.apart in report.markdown()


def test_names_do_not_hang_on_what_else_is_reported() -> None:
    def names(report: Report) -> set[str]:
        return {group.name_of(table) for groups in report.groups.values() for group in groups for table in group.tables}

    other = (None, run_of("mf", 0.4, 0, dataset="other"))
    mine = (None, run_of("mf", 0.3, 0))
    assert names(make_report("T", "c", [mine])) < names(make_report("T", "c", [other, mine]))


def test_a_folder_that_cannot_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ResourceError, match=r"cannot write the report to .*file"):
        report_of().write(tmp_path / "file")
