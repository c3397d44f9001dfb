"""The site in a browser: filter, sort, compare, cards and plots; nothing is asked for, and names are text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mmrec_bench.leaderboard.board import Board
from mmrec_bench.leaderboard.board_files import SITE, contents, write
from mmrec_bench.leaderboard.track import load_tracks
from tests.leaderboard.entries import MARKUP, Entry, entry_of, values_of
from tests.pages import Page

TRACKS = load_tracks()
TRACK = TRACKS["synthetic-retrieval"]
SIZES = [(360, "light"), (360, "dark"), (1400, "light"), (1400, "dark")]


def entries() -> list[Entry]:
    return [
        entry_of(TRACK, "good", 0.3, title="Good", parameters=300_000, seconds=60.0, flags=(MARKUP,)),
        entry_of(TRACK, "close", 0.299, title="Close", parameters=100_000, seconds=30.0),
        entry_of(TRACK, "open", 0.2, title="Open", tier="open", seconds=20.0),
        entry_of(TRACK, "young", 0.25, title="Young", n_seeds=3, label=MARKUP, device=MARKUP),
        entry_of(TRACK, "fixed", 0.1, title="Fixed", n_seeds=1, deterministic=True, parameters=0, status="audited"),
        entry_of(TRACK, "fixed2", 0.05, title="Fixed", n_seeds=1, deterministic=True, parameters=0),
        entry_of(TRACK, "claimed", 0.9, title="Claimed", status="self-reported"),
        entry_of(TRACK, "evil", 0.01, title=MARKUP, authors=(MARKUP,), external_data=(MARKUP,), replaces="gone"),
    ]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("leaderboard")
    found = {TRACK.name: entries(), "synthetic-ctr": [entry_of(TRACKS["synthetic-ctr"], "rate", 0.6)]}
    write(root, contents([Board.of(track, found.get(name, [])) for name, track in TRACKS.items()]))
    return root / SITE


class BoardPage(Page):
    """A page of the board."""

    def column(self, name: str) -> list[str]:
        """Return the cells of a column of the first table that can be seen."""
        table = self.page.locator("table").first
        place = [text.strip() for text in table.locator("thead th").all_inner_texts()].index(name) + 1
        cells = table.locator(f"tbody tr:visible > :nth-child({place})")
        return [text.strip() for text in cells.all_inner_texts()]

    def button(self, name: str) -> Any:
        heads = self.page.locator("table").first.locator("thead th")
        place = [text.strip() for text in heads.all_inner_texts()].index(name)
        return heads.nth(place).locator("button")


@pytest.fixture
def board(browser: Any, site: Path) -> Iterator[BoardPage]:
    page = BoardPage(browser, site / TRACK.name / "index.html")
    yield page
    assert page.said == []
    page.close()


@pytest.mark.parametrize(("width", "scheme"), SIZES)
@pytest.mark.parametrize(
    "path",
    ["index.html", *(f"{TRACK.name}/{name}.html" for name in ("index", "entries/evil", "entries/young"))],
)  # fmt: skip
def test_pages_open_without_a_request_an_error_or_overflow(
    browser: Any, site: Path, path: str, width: int, scheme: str
) -> None:
    opened = BoardPage(browser, site / path, width, scheme)
    assert opened.asked == [(site / path).as_uri()]
    assert opened.said == []
    assert opened.page.evaluate("window.broken") is None
    assert opened.widths[0] <= opened.widths[1]
    ratios = opened.page.evaluate(CONTRASTS)
    assert ratios, "there is text"
    assert min(ratios) >= 4.5, "WCAG 2.1, 1.4.3"
    opened.close()


CONTRASTS = """() => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = (rgb) => rgb.slice(0, 3).map((c) => linear(c / 255))
    .reduce((sum, c, place) => sum + c * [0.2126, 0.7152, 0.0722][place], 0);
  const paper = (node) => {
    for (; node; node = node.parentElement) {
      const found = channels(getComputedStyle(node).backgroundColor);
      if (found.length < 4 || found[3] > 0) return light(found);
    }
    return 1;
  };
  const hasText = (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  return [...document.querySelectorAll("body *")]
    .filter((node) => node.checkVisibility() && hasText(node))
    .map((node) => [light(channels(getComputedStyle(node).color)), paper(node)])
    .map(([ink, back]) => (Math.max(ink, back) + 0.05) / (Math.min(ink, back) + 0.05));
}"""


def test_entries_are_filtered_by_tier_status_mark_and_text(board: BoardPage) -> None:
    form, count = board.page.locator("form.filter"), board.page.locator("form.filter output")
    assert count.inner_text() == "8 of 8 entries"
    form.get_by_label("Tier").select_option("open")
    assert board.column("system") == ["Open"]
    assert count.inner_text() == "1 of 8 entries"
    form.get_by_role("button").click()
    form.get_by_text("8 of 8 entries").wait_for()  # the policy of the page lets no text be evaluated in a loop
    form.get_by_label("Status").select_option("audited")
    assert board.column("system") == ["Fixed (fixed)"]
    form.get_by_label("Status").select_option("")
    form.get_by_label("Marks").select_option("flagged")
    assert board.column("system") == ["Good"]
    form.get_by_label("Marks").select_option("")
    form.get_by_label("Text").fill("LANGUAGE open")
    assert board.column("system") == ["Open"]
    form.get_by_label("Text").fill("nothing like it")
    assert board.column("system") == []
    form.get_by_label("Text").press("Enter")
    assert count.inner_text() == "0 of 8 entries", "the page stays where it is"


def test_tracks_are_filtered_by_task(browser: Any, site: Path) -> None:
    page = BoardPage(browser, site / "index.html")
    page.page.get_by_label("Task").select_option("ctr")
    assert page.column("track") == [TRACKS["synthetic-ctr"].title]
    page.page.get_by_role("link", name=TRACKS["synthetic-ctr"].title).click()
    assert page.page.locator("h1").inner_text() == TRACKS["synthetic-ctr"].title
    page.page.get_by_role("link", name="rate").click()
    assert page.page.locator("h1").inner_text() == "rate"
    page.page.get_by_role("link", name="Leaderboard").click()
    assert page.page.url == (site / "index.html").as_uri()
    assert page.said == []
    page.close()


def test_columns_are_sorted_by_unrounded_values_with_mouse_and_keyboard(board: BoardPage) -> None:
    board.button("recall@20").click()
    values = (
        board.page.locator("table")
        .first.locator("tbody tr > :nth-child(6)")
        .evaluate_all("cells => cells.map((cell) => Number(cell.dataset.value))")
    )
    assert values == sorted(values, reverse=True)
    assert any(value != round(value, 6) for value in values)
    board.button("parameters").focus()
    board.page.keyboard.press("Enter")
    assert board.column("parameters")[0] == "300,000"
    board.page.keyboard.press("Space")
    assert board.column("parameters")[0] == "0"
    sorted_by = board.page.locator("th[aria-sort='ascending']")
    assert sorted_by.inner_text().strip() == "parameters"
    board.page.get_by_label("Tier").select_option("closed")
    assert "Open" not in board.column("system"), "what is filtered stays so"
    board.button("system").press("Enter")
    assert board.column("system")[-1] == "Young"
    assert "Open" not in board.column("system")


def test_ranks_and_marks_are_shown(board: BoardPage) -> None:
    assert board.column("system") == [
        "Good",
        "Close",
        "Young",
        "Open",
        "Fixed (fixed)",
        "Fixed (fixed2)",
        MARKUP,
        "Claimed",
    ]
    assert board.column("rank") == ["1", "2", "-", "1", "3", "4", "5", "-"]
    assert board.column("marks") == ["flagged", "-", "provisional", *"-----"]
    meaning = board.page.get_by_text("What status, marks and tiers mean")
    meaning.focus()
    board.page.keyboard.press("Enter")
    assert board.page.get_by_text("fewer than five seeds").is_visible()


def compared(board: BoardPage, first: str, second: str) -> dict[str, list[str]]:
    board.page.locator(".compare").get_by_label("First").select_option(label=first)
    board.page.locator(".compare").get_by_label("Second").select_option(label=second)
    rows = board.page.locator(".compare tbody tr").all()
    return {cells[0]: cells[1:] for row in rows if (cells := row.locator("th, td").all_inner_texts())}


@pytest.mark.parametrize(
    ("name", "title", "n"), [("close", "Close", 5), ("young", "Young", 3), ("fixed", "Fixed (fixed)", 1)]
)
def test_the_interval_of_a_difference_is_that_of_welch(board: BoardPage, name: str, title: str, n: int) -> None:
    level = {"close": 0.299, "young": 0.25, "fixed": 0.1}[name]
    shown = compared(board, "Good", title)
    ours, theirs = values_of(TRACK, 0.3, tuple(range(5))), values_of(TRACK, level, tuple(range(n)))
    assert list(shown)[: len(TRACK.headline)] == list(TRACK.headline)
    assert list(shown)[len(TRACK.headline) :] == ["recall@20, users:cold", "recall@20, items:long-tail"]
    for place, metric in enumerate(TRACK.headline):
        if n == 1:  # nothing but the luck of the other moves it
            known = stats.ttest_1samp(ours[metric], theirs[metric][0]).confidence_interval()
            difference = np.mean(ours[metric]) - theirs[metric][0]
            low, high = known.low - theirs[metric][0], known.high - theirs[metric][0]
        else:
            known = stats.ttest_ind(ours[metric], theirs[metric], equal_var=False).confidence_interval()
            low, high, difference = known.low, known.high, np.mean(ours[metric]) - np.mean(theirs[metric])
        row = board.page.locator(".compare tbody tr").nth(place)
        cell = row.locator("td").nth(3)
        found = [float(cell.get_attribute(f"data-{end}")) for end in ("low", "high")]
        assert found == pytest.approx([low, high], abs=1e-6)
        assert float(row.locator("td").nth(2).get_attribute("data-value")) == pytest.approx(difference, abs=1e-12)
        assert shown[metric][2] == f"{difference:+.4f}"


def test_what_is_missing_for_an_interval_is_said(board: BoardPage) -> None:
    assert compared(board, "Good", "Claimed")["recall@20"][3] == "none: no values of single seeds of Claimed"
    assert (
        compared(board, "Fixed (fixed)", "Fixed (fixed2)")["recall@20"][3]
        == "none: neither differs between seeds, and scores of users are not at hand"
    )
    assert compared(board, "Good", "Claimed")["recall@20, users:cold"][3] == "none: Claimed lacks it"
    assert compared(board, MARKUP, "Good")["recall@20"][2].startswith("-")


def test_an_entry_is_not_compared_with_itself_nor_with_its_own_runs(board: BoardPage) -> None:
    assert compared(board, "Good", "Good")["recall@20"][2:] == ["+0.0000", "none: the same entry"]
    told = board.page.evaluate("""() => {
      const twice = (seeds) => seeds.map((value) => 2 * value);
      const entry = (...seeds) => ({ title: "x", tests: { a: { seeds }, b: { seeds: twice(seeds) } } });
      const other = { title: "y", tests: { a: { seeds: [0.1, 0.3] }, b: { seeds: [0.5, 0.7] } } };
      const all = ["a", "b"], one = entry(0.1, 0.2, 0.3);
      return [shareRuns(one, entry(0.3, 0.4), all), shareRuns(one, entry(0.4), all), shareRuns(one, other, all)];
    }""")
    assert told == [True, False, False]


def test_equal_seeds_have_no_spread(board: BoardPage) -> None:
    """Three times 1/41 has another mean than 1/41 once sums are rounded."""
    told = board.page.evaluate("""() => {
      const entry = (mean, seeds) => ({ title: "x", deterministic: false, tests: { a: { mean, seeds } } });
      const equal = entry(1 / 41, [1 / 41, 1 / 41, 1 / 41]), found = mean([1 / 41, 1 / 41, 1 / 41]);
      return [found === 1 / 41, spread(equal, equal.tests.a), interval(equal, entry(0, [0, 0, 0]), "a", 0.95).text];
    }""")
    assert told[:2] == [False, {"variance": 0, "freedom": 2}]
    assert told[2].startswith("none: neither differs between seeds")


def test_plots_are_shown_without_what_was_only_claimed(board: BoardPage) -> None:
    pictures = board.page.locator("figure img")
    assert pictures.count() == 2
    assert pictures.evaluate_all("all => all.every((one) => one.complete && one.naturalWidth > 300)")
    assert all(
        "7 entries whose numbers were recomputed" in text for text in board.page.locator("figcaption").all_inner_texts()
    )
    assert all(alt for alt in pictures.evaluate_all("all => all.map((one) => one.alt)"))


def test_plots_stay_readable_on_narrow_screens_and_scroll_in_their_box(browser: Any, site: Path) -> None:
    opened = BoardPage(browser, site / TRACK.name / "index.html", 360)
    picture = opened.page.locator("figure img").first
    natural, shown, box = picture.evaluate(
        "one => [one.naturalWidth, one.getBoundingClientRect().width, one.parentElement.clientWidth]"
    )
    assert shown == pytest.approx(natural, abs=1)
    assert box < shown
    assert opened.widths[0] <= opened.widths[1]
    opened.close()


def test_a_shade_at_the_edge_tells_that_there_is_more_until_the_end_is_seen(browser: Any, site: Path) -> None:
    opened = BoardPage(browser, site / TRACK.name / "index.html", 360)
    box = opened.page.locator(".box").first
    box.scroll_into_view_if_needed()
    edge = """png => createImageBitmap(new Blob([Uint8Array.from(png)])).then((image) => {
      const canvas = new OffscreenCanvas(image.width, image.height), context = canvas.getContext("2d");
      context.drawImage(image, 0, 0);
      return [...context.getImageData(image.width - 3, 0, 1, image.height).data].filter((_, place) => place % 4 === 0);
    })"""

    def darkness() -> float:
        shown = opened.page.evaluate(edge, list(box.screenshot()))
        return float(np.median(255 - np.array(shown)))

    before = darkness()
    box.evaluate("one => { one.scrollLeft = one.scrollWidth }")
    assert before > 40
    assert darkness() < 10
    opened.close()


def test_names_of_one_word_are_not_broken_on_narrow_screens(browser: Any, tmp_path: Path) -> None:
    board = Board.of(TRACK, [entry_of(TRACK, name, 0.1, title=f"{name}(freedom)") for name in ("motor", "m")])
    write(tmp_path, contents([board]))
    opened = BoardPage(browser, tmp_path / SITE / TRACK.name / "index.html", 360)
    heights = [row.bounding_box()["height"] for row in opened.page.locator("table").first.locator("tbody tr").all()]
    assert heights[0] == pytest.approx(heights[1], abs=1.5)
    opened.close()


def test_the_page_of_an_entry_holds_record_and_card(browser: Any, site: Path) -> None:
    opened = BoardPage(browser, site / TRACK.name / "entries" / "young.html")
    text = opened.page.locator("main").inner_text()
    for words in ("list-verified", "Provisional", "0, 1, 2", "https://example.org/code", MARKUP):
        assert words in text
    opened.page.get_by_text("Openings of the test part").press("Enter")
    assert opened.page.get_by_text("2026-11-01T00:00:00+00:00").is_visible()
    assert opened.page.locator("pre").count() == 1
    assert opened.said == []
    good = BoardPage(browser, site / TRACK.name / "entries" / "good.html")
    assert MARKUP in good.page.locator("dl").first.inner_text(), "flags are told"
    for page in (opened, good):
        page.close()


def test_what_is_not_ours_is_not_run_even_where_it_is_in_the_page(browser: Any, site: Path, tmp_path: Path) -> None:
    """The policy holds where escaping fails."""
    text = (site / "index.html").read_text(encoding="utf-8")
    spoilt = tmp_path / "spoilt.html"
    inserted = (
        "<script>window.broken = 1</script><img src=x onerror='window.broken = 2'><style>h1 { color: red }</style>"
    )
    spoilt.write_text(text.replace("<main>", f"<main>{inserted}"), encoding="utf-8")
    opened = BoardPage(browser, spoilt)
    assert opened.page.evaluate("window.broken") is None
    assert opened.page.evaluate("getComputedStyle(document.querySelector('h1')).color") != "rgb(255, 0, 0)"
    refused = [text for text in opened.said if "Content Security Policy" in text]
    assert len(refused) >= 3, "script, picture and style, as the browser tells"
    opened.close()


def test_parts_of_forms_do_not_overlap_however_long_names_are(browser: Any, tmp_path: Path) -> None:
    board = Board.of(TRACK, [entry_of(TRACK, name, 0.1, title=f"{name} " * 90) for name in "ab"])
    write(tmp_path, contents([board]))
    opened = BoardPage(browser, tmp_path / SITE / TRACK.name / "index.html")
    for form in opened.page.locator("form").all():
        boxes = [control.bounding_box() for control in form.locator("select, input, button").all()]
        for left, right in pairwise(boxes):
            assert left["x"] + left["width"] <= right["x"] or left["y"] + left["height"] <= right["y"]
    heights = [row.bounding_box()["height"] for row in opened.page.locator("table").first.locator("tbody tr").all()]
    assert max(heights) < 450
    opened.close()


def test_it_prints_without_what_needs_a_mouse(board: BoardPage) -> None:
    board.page.emulate_media(media="print")
    assert not board.page.locator("form.filter").is_visible()
    assert not board.page.locator(".compare").is_visible()
    assert board.page.locator("table").first.is_visible()


class Tags(HTMLParser):
    """Tags, ids and addresses of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.ids += [value or ""] if name == "id" else []
            self.addresses += [value or ""] if name in ("href", "src") else []
            self.handlers += [name] if name.startswith("on") or name == "style" else []


def test_markup_of_others_makes_no_tag_and_links_lead_somewhere(site: Path) -> None:
    for path in sorted(site.rglob("*.html")):
        found = Tags(path.read_text(encoding="utf-8"))
        assert found.handlers == [], path
        assert "b" not in found.tags, path
        assert found.tags.count("script") == 1 + (TRACK.name == path.parent.name)
        assert len(set(found.ids)) == len(found.ids), path
        for address in found.addresses:
            if not address.startswith(("data:", "https://example.org/")):
                assert (path.parent / address).is_file(), (path, address)


def test_values_in_a_script_cannot_end_it(site: Path) -> None:
    text = (site / TRACK.name / "index.html").read_text(encoding="utf-8")
    (values,) = re.findall(r'<script type="application/json" id="values">(.*?)</script>', text, re.DOTALL)
    assert "\\u003c/script\\u003e" in values
    assert "<" not in values
