"""Checks of pairs: is what is judged among what is learned from?"""

from __future__ import annotations

import numpy as np

from mmrec_bench.audit.base import N_EXAMPLES, Finding, check
from mmrec_bench.audit.subject import Subject, among, keys_of


@check("repeated-pairs", "Do pairs of a user (or query) and an item stand in train and held out?")
def repeated_pairs(subject: Subject) -> Finding:
    """Look for held-out pairs in train, and for those that the reader has already merged away."""
    known = np.unique(keys_of(subject.train))
    held_out = np.concatenate([keys_of(part) for part in subject.held_out])
    shared = among(held_out, known)
    within = len(np.intersect1d(keys_of(subject.valid), keys_of(subject.test)))
    report = subject.dataset.report
    counts = {
        "rows": int(shared.sum()),
        "share": float(shared.mean()),
        "in_valid_and_test": within,
        "merged": report.n_duplicates,
        "merged_across_parts": report.n_duplicates_across_parts,
    }
    n_items = subject.train.n_items
    examples = tuple(
        f"user {subject.user(key // n_items)}, {subject.item(key % n_items)}" for key in held_out[shared][:N_EXAMPLES]
    )
    if shared.any() and subject.kind != "interactions":
        message = f"{shared.mean():.1%} of the held-out rows show an item that train shows to the same user (or query)"
        return Finding("fail" if subject.rule.parts_users else "warn", message, counts, examples)
    if shared.any() or (within and subject.kind == "interactions"):
        message = f"{int(shared.sum()):,} held-out pairs stand in train, and {within:,} in validation and test"
        return Finding("fail", message, counts, examples)
    if report.n_duplicates_across_parts and subject.rule.delivered:
        message = (
            f"{report.n_duplicates_across_parts:,} delivered rows repeated a pair of an earlier part and were merged "
            "into it; none is left, but numbers published on these files may count them"
        )
        return Finding("warn", message, counts)
    return Finding("pass", "no held-out pair stands in train", counts)
