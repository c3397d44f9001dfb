"""Users whom two runs serve differently: who is chosen, what is shown of them, what is refused, and text as text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mmrec_bench.errors import ArtefactError
from mmrec_bench.experiments.artefact import RunArtefact
from mmrec_bench.reports.errors.browser import ErrorBrowser, browse_errors
from mmrec_bench.reports.errors.items import ItemViews
from mmrec_bench.reports.errors.users import Placed, Wanted

EVIL = "<script>alert('x')</script> | **bold** & `code`"
LISTS = {
    "first": {"ann": ["a", "b", "c"], "bob": ["d", "e", "f"], "cat": ["a", "d", "e"], "dan": ["x", "y", "z"]},
    "second": {"ann": ["d", "e", "a"], "bob": ["a", "f", "b"], "cat": ["a", "d", "f"], "dan": ["z", "y", "x"]},
}
SCORES = {"first": [1.0, 0.0, 0.5, 0.25], "second": [0.0, 0.5, 0.5, 0.5]}
VIEWS = ItemViews(
    ("A note.",),
    titles={"a": "Apple", "d": EVIL},
    links={"a": "https://example.org/a.jpg", "b": "javascript:alert(1)"},
    histories={"ann": ["h1", "h2"]},
    truths={"valid": {"ann": ["a"], "bob": ["f", "q"], "cat": ["a"], "dan": ["z"]}},
)


@dataclass(frozen=True, slots=True)
class MadeUp(RunArtefact):
    """An artefact in memory."""

    name: str = ""

    def per_user(self) -> pd.DataFrame:
        table = pd.DataFrame({"user_id": list(LISTS["first"]), "recall@2": SCORES[self.name]})
        return pd.concat([table.assign(part="valid"), table.assign(part="test", **{"recall@2": 0.5})])

    def rankings(self) -> pd.DataFrame:
        rows = [(user, rank, item) for user, items in LISTS[self.name].items() for rank, item in enumerate(items, 1)]
        table = pd.DataFrame(rows, columns=["user_id", "rank", "item_id"]).assign(score=0.0)
        return pd.concat([table.assign(part="test"), table.assign(part="valid").sample(frac=1, random_state=0)])


def run(name: str, **facts: Any) -> MadeUp:
    manifest = {
        "task": "retrieval", "dataset": "tiny", "model": name, "seed": 0, "protocol_id": "p", "select_by": "recall@2",
        "fingerprints": {"config": name, "data": "d", "split": "s"}, **facts,
    }  # fmt: skip
    return MadeUp(Path(name), manifest, {"valid": {"recall@2": 0.5}, "test": {}}, name)


def browser(**changes: Any) -> ErrorBrowser:
    return browse_errors(run("first"), run("second"), changes.pop("items", VIEWS), **changes)


class Tags(HTMLParser):
    """Collects tags and addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [(tag, value) for name, value in attrs if name in ("href", "src")]


def test_those_who_differ_most_come_first_both_ways_and_equals_never() -> None:
    made = browser()
    assert [user.user_id for user in made.better] == ["ann"]
    assert [user.user_id for user in made.worse] == ["bob", "dan"]
    assert made.shares == (0.25, 0.25, 0.5)
    assert made.means == (0.4375, 0.375)
    assert [user.user_id for user in browser(n_users=2).worse] == ["bob"]


def test_a_user_has_history_truth_with_ranks_and_the_shown_part_of_both_lists() -> None:
    (ann,) = browser().better
    assert (ann.scores, ann.history, ann.n_history) == ((1.0, 0.0), ("h1", "h2"), 2)
    assert ann.wanted == (Wanted("a", (1, 3)),)
    assert ann.lists[0] == (Placed(1, "a", True, False), Placed(2, "b", False, False))
    bob = browser().worse[0]
    assert bob.wanted == (Wanted("f", (3, 2)), Wanted("q", (None, None)))
    assert [placed.hit for placed in bob.lists[1]] == [False, True]
    assert [placed.shared for placed in browser().worse[1].lists[0]] == [False, True]


def test_what_is_wanted_is_not_guessed_without_data() -> None:
    made = browser(items=ItemViews(("The data was not found.",)))
    assert made.better[0].wanted is None
    assert {placed.hit for user in (*made.better, *made.worse) for listed in user.lists for placed in listed} == {None}
    assert "The data was not found." in made.page()
    assert "Wanted" not in made.page()


def test_lists_that_are_ranked_bring_what_is_wanted_along() -> None:
    class Ranked(MadeUp):
        def per_user(self) -> pd.DataFrame:
            return pd.DataFrame(
                {
                    "part": "valid",
                    "list": [0, 1],
                    "user_id": ["ann", "ann"],
                    "ndcg@2": [0.5, float(self.name == "first")],
                }
            )

        def rankings(self) -> pd.DataFrame:
            items = ["a", "b", "c"] if self.name == "first" else ["c", "b", "a"]
            lists = [(number, rank, item) for number in (0, 1) for rank, item in enumerate(items, 1)]
            table = pd.DataFrame(lists, columns=["list", "rank", "item_id"])
            return table.assign(part="valid", user_id="ann", score=0.0, label=(table["item_id"] == "a") * 2)

    pair = [
        Ranked(Path(name), {**run(name).manifest, "task": "ranking", "select_by": "ndcg@2"}, {"valid": {}}, name)
        for name in ("first", "second")
    ]
    made = browse_errors(pair[0], pair[1], ItemViews(()))
    (only,) = made.better
    assert (made.unit, made.worse, only.user_id, only.number) == ("lists", (), "ann", 1)
    assert only.wanted == (Wanted("a", (1, 3)),)
    assert [[placed.hit for placed in listed] for listed in only.lists] == [[True, False], [False, False]]
    assert "ann, list 1" in made.page()


def test_titles_are_text_in_html_and_in_markdown() -> None:
    made = browser()
    told = Tags(made.page())
    assert "script" not in told.tags
    assert "&lt;script&gt;" in made.html()
    assert "<script" not in made.markdown()
    assert r"\*\*bold\*\* &amp; \`code\`" in made.markdown()
    table = [line for line in made.markdown().splitlines() if line.startswith("| 1")]
    assert all(line.replace(r"\|", "").count("|") == 4 for line in table)


def test_nothing_is_loaded_and_only_web_addresses_are_links() -> None:
    told = Tags(browser().page())
    assert {tag for tag, _ in told.addresses} == {"a"}
    assert {address for _, address in told.addresses} == {"https://example.org/a.jpg"}


def test_a_picture_is_held_once_however_often_it_is_shown() -> None:
    class Pictures:
        left_out = 7

        def of(self, item_id: str) -> str | None:
            return "data:image/jpeg;base64,QUJD" if item_id == "d" else None

    made = browser(items=replace(VIEWS, thumbnails=Pictures()))
    shown = sum(item == "d" for user in (*made.better, *made.worse) for item in user.items())
    assert shown > 1
    assert made.page().count("QUJD") == 1
    assert Tags(made.page()).tags.count("i") == shown
    assert "7 pictures had no room" in made.page()


def test_users_open_by_keyboard_and_the_fragment_is_no_page() -> None:
    made = browser()
    told = Tags(made.html())
    assert told.tags.count("details") == told.tags.count("summary") == 3
    assert not {"html", "body", "script"} & set(told.tags)
    assert made.html() in made.page()


def test_the_part_that_is_looked_at_is_said() -> None:
    assert any("nothing of the test part" in note for note in browser().notes)
    test = browser(part="test")
    assert not test.better
    assert any("selected on test" in note for note in test.notes)


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"protocol_id": "other"}, "protocol_id p and other"),
        ({"dataset": "big"}, "dataset tiny and big"),
        ({"fingerprints": {"config": "x", "data": "d", "split": "t"}}, "split s and t"),
        ({"task": "interactive"}, "mmrec-bench sessions"),
        ({"task": "ctr"}, "of retrieval and ranking"),
        ({"leak": [{}]}, "behind the cut"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused_with_what_differs(facts: dict[str, Any], told: str) -> None:
    with pytest.raises(ArtefactError, match=told):
        browse_errors(run("first"), run("second", **facts), VIEWS)


def test_other_users_a_metric_of_no_user_and_a_run_twice_are_refused() -> None:
    with pytest.raises(ArtefactError, match="is named twice"):
        browse_errors(run("first"), run("first"), VIEWS)
    with pytest.raises(ArtefactError, match="it has: recall@2"):
        browser(metric="coverage@20")
    other = replace(run("second"), name="first")
    frame = other.per_user()

    class Fewer(MadeUp):
        def per_user(self) -> pd.DataFrame:
            return frame.iloc[1:]

    with pytest.raises(ArtefactError, match="other users"):
        browse_errors(run("first"), Fewer(Path("fewer"), other.manifest, other.metrics, "first"), VIEWS)


def test_two_runs_of_one_model_have_names_that_differ() -> None:
    first, second = run("first"), run("second", model="first")
    assert browse_errors(first, second, VIEWS).labels == ("first (seed 0) [first]", "first (seed 0) [second]")


def test_what_is_written_is_the_page_and_its_text(tmp_path: Path) -> None:
    made = browser(command="mmrec-bench errors a b")
    page, text = made.write(tmp_path / "out")
    assert page.read_text(encoding="utf-8") == made.page()
    assert text.read_text(encoding="utf-8") == made.markdown()
    assert "mmrec-bench errors a b" in made.page()
    assert made.page() == browser(command="mmrec-bench errors a b").page()
