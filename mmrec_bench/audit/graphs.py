"""Checks of what is made from interactions: the graph of models, and made features."""

from __future__ import annotations

import numpy as np

from mmrec_bench.audit.base import N_EXAMPLES, Finding, check
from mmrec_bench.audit.subject import Subject, among
from mmrec_bench.graph.bipartite import normalised_interactions


@check("graph-edges", "Does the graph of the models hold edges of held-out rows?", kinds=("interactions",))
def graph_edges(subject: Subject) -> Finding:
    """Build the user-item graph as models do, and compare its edges with the rows of all parts."""
    train = subject.train
    graph = normalised_interactions(train.users, train.items, train.n_users, train.n_items).tocoo()
    edges = np.sort(graph.row.astype(np.int64) * np.int64(train.n_items) + graph.col)
    users, items = subject.held_out_pairs()
    leaked = among(users * np.int64(train.n_items) + items, edges)
    counts = {"edges": len(edges), "held_out_edges": int(leaked.sum())}
    if leaked.any():
        examples = tuple(
            f"user {subject.user(users[row])}, {subject.item(items[row])}"
            for row in np.flatnonzero(leaked)[:N_EXAMPLES]
        )
        return Finding("fail", f"{int(leaked.sum()):,} edges of the graph are held-out rows", counts, examples)
    return Finding("pass", f"the {len(edges):,} edges are the training rows", counts)


@check("made-features", "Were features made by something that has seen held-out rows?")
def made_features(subject: Subject) -> Finding:
    """Look for leak markers among made features; the encoders of this toolkit read feature tables alone."""
    if not subject.made:
        return Finding("not applicable", "no features are made: there is nothing under inputs.features")
    counts = {"tables": len(subject.made)}
    if leaked := [made for made in subject.made if made.leak is not None]:
        told = ", ".join(f"{made.name} ({made.encoder})" for made in leaked)
        return Finding("fail", f"{told}: made with knowledge of held-out rows, as their manifest says", counts)
    told = ", ".join(f"{made.name} ({made.encoder})" for made in subject.made)
    return Finding("pass", f"{told}: trained on feature tables, without interactions; those are checked beside", counts)
