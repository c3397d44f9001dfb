"""The error browser as HTML and as Markdown."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mmrec_bench.reports.markdown import plain
from mmrec_bench.reports.parts import PARTS

if TYPE_CHECKING:
    from mmrec_bench.reports.errors.browser import ErrorBrowser
    from mmrec_bench.reports.errors.users import Placed, UserView


def fragment(browser: ErrorBrowser) -> str:
    """Return a part of a page; all text is escaped."""
    return _render("errors.html.jinja", browser)


def page(browser: ErrorBrowser) -> str:
    """Return a whole page."""
    return _render("errors-page.html.jinja", browser)


def markdown(browser: ErrorBrowser) -> str:
    """Return Markdown; what titles hold of its marks, or of HTML's, is shown as text."""
    lines = [f"# {plain(browser.title)}\n"]
    if browser.command:
        lines.append(f"Made by `{browser.command}`.\n")
    lines += [plain(summary(browser)) + "\n", "".join(f"- {plain(note)}\n" for note in browser.notes)]
    for heading, users in groups(browser):
        lines.append(f"## {plain(heading)}\n")
        for user in users:
            lines += _user(browser, user)
    return "\n".join(lines)


def groups(browser: ErrorBrowser) -> list[tuple[str, tuple[UserView, ...]]]:
    """Return the users of both ways with their headings."""
    first, second = browser.labels
    return [(f"Better with {first}", browser.better), (f"Better with {second}", browser.worse)]


def summary(browser: ErrorBrowser) -> str:
    """Return what the two runs differ by, in a sentence or two."""
    first, second = browser.labels
    better, equal, worse = browser.shares
    return (
        f"{PARTS[browser.part].capitalize()} {browser.metric}: {browser.means[0]:.4f} for {first}, "
        f"{browser.means[1]:.4f} for {second}, one run each. Of {browser.n_users:,} {browser.unit} the first serves "
        f"{better:.1%} better, {equal:.1%} alike and {worse:.1%} worse. Shown are those that differ most, "
        f"{len(browser.better)} and {len(browser.worse)}. Protocol {browser.protocol_id}."
    )


def named(user: UserView) -> str:
    """Return the name of a user, with the number of the list where lists are ranked."""
    return user.user_id if user.number is None else f"{user.user_id}, list {user.number}"


def _render(template: str, browser: ErrorBrowser) -> str:
    made = Environment(
        loader=PackageLoader("mmrec_bench.reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    pictures = _pictures(browser)
    left_out = browser.items.thumbnails.left_out if browser.items.thumbnails else 0
    return made.get_template(template).render(
        browser=browser, items=browser.items, groups=groups(browser), summary=summary(browser), named=named,
        pictures=pictures, left_out=left_out,
    )  # fmt: skip


def _pictures(browser: ErrorBrowser) -> dict[str, tuple[str, Markup]]:
    """Return by item a class of its own, and its picture as a data URL: a page holds each once, however often shown."""
    facts = browser.labels, browser.dataset, browser.protocol_id, browser.part, browser.metric
    digest = hashlib.blake2b(repr(facts).encode(), digest_size=4).hexdigest()
    shown = dict.fromkeys(item for user in (*browser.better, *browser.worse) for item in user.items())
    found = {item: browser.items.picture(item) for item in shown}
    return {
        item: (f"picture-{digest}-{number}", Markup(url))
        for number, (item, url) in enumerate(found.items())
        if url is not None
    }


def _user(browser: ErrorBrowser, user: UserView) -> list[str]:
    first, second = browser.labels
    lines = [f"### {plain(named(user))}: {user.scores[0]:.4f} and {user.scores[1]:.4f}\n"]
    if user.history:
        more = "" if len(user.history) == user.n_history else f" ({len(user.history)} of {user.n_history})"
        lines.append(f"Trained on{more}: {', '.join(_item(browser, item) for item in user.history)}.\n")
    if user.wanted is not None:
        wanted = ", ".join(
            f"{_item(browser, one.item_id)} (ranks {' and '.join(str(rank or '-') for rank in one.ranks)})"
            for one in user.wanted
        )
        lines.append(f"Wanted: {wanted}.\n")
    lines += [f"| | {plain(first)} | {plain(second)} |", "| --: | :-- | :-- |"]
    for place in range(max(map(len, user.lists))):
        cells = [_cell(browser, listed[place]) if place < len(listed) else "" for listed in user.lists]
        lines.append(f"| {place + 1} | {' | '.join(cells)} |")
    return [*lines, ""]


def _cell(browser: ErrorBrowser, placed: Placed) -> str:
    text = _item(browser, placed.item_id)
    return f"**{text}** (hit)" if placed.hit else text


def _item(browser: ErrorBrowser, item_id: str) -> str:
    title = browser.items.title(item_id)
    return plain(f"{title} [{item_id}]" if title else item_id)
