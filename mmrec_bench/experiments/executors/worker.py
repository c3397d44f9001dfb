"""A worker process: reads orders as lines of JSON, makes what they say, and answers with a line each.

Started as ``python -m mmrec_bench.experiments.executors.worker``; nothing but JSON goes in or out. It ends at once when
its input is closed, so that no worker outlives the process that started it, however that one died.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from pathlib import Path
from typing import TextIO

from mmrec_bench.experiments.executors.task import answer_to
from mmrec_bench.experiments.prepare import Preparer


def main() -> None:
    """Work until the input is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; who started us decides
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=(sys.stdin, lines), daemon=True, name="orders").start()
    preparer: Preparer | None = None
    while True:
        order = json.loads(lines.get())
        if preparer is None:
            preparer = Preparer(None if order["data_dir"] is None else Path(order["data_dir"]))
        answers.write(json.dumps(answer_to(order, preparer, wait=order["wait"])) + "\n")
        answers.flush()


def _read(source: TextIO, lines: queue.Queue[str]) -> None:
    for line in source:
        lines.put(line)
    os._exit(1)  # also out of the middle of a training: its checkpoint is whole


if __name__ == "__main__":
    main()
