"""A page in a browser, for the tests that open pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Page:
    """A page that was opened without a network, with what the browser said and asked for meanwhile."""

    def __init__(self, browser: Any, path: Path, width: int = 1400, scheme: str = "light") -> None:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        self.page = context.new_page()
        self.said: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    @property
    def asked(self) -> list[str]:
        """What was asked for beside what the page brings with it."""
        return [url for url in self.requests if not url.startswith("data:")]

    @property
    def widths(self) -> tuple[int, int]:
        """Width of the document and of the window, pixels."""
        document, window = self.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        return document, window

    def close(self) -> None:
        """Close it."""
        self.page.context.close()
