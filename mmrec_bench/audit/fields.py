"""Were features, words or columns made after the cut, or of what is to be predicted?"""

from __future__ import annotations

import re

from mmrec_bench.audit.base import Finding, Verdict, check
from mmrec_bench.audit.subject import Subject
from mmrec_bench.audit.times import first_held_out
from mmrec_bench.data.moments import to_seconds, to_text
from mmrec_bench.data.provenance import Field

STEMS = ("rating", "review", "popular", "purchas", "interact", "behavi", "collab", "helpful", "click", "vote", "view")
"""Words that begin like this sound like what users did rather than what an item is."""
WORDS = {
    *("rank", "sale", "sales", "sold", "count", "counts", "ctr", "like", "likes", "liked", "bought", "score", "stars"),
    *("avg", "average", "graph", "knn"),
}
"""So do these."""
JOINED = ("salesrank", "salerank", "avgrating", "alsobought", "alsoviewed", "boughttogether")
"""So do these, wherever they stand."""


@check("late-fields", "Were fields made after the cut, or of held-out rows?")
def late_fields(subject: Subject) -> Finding:
    """Compare what the card declares of each field with the split, and look at the names of the others."""
    if not subject.fields:
        return Finding("not applicable", "nothing but ids describes items")
    cut, declared = first_held_out(subject), subject.provenance.fields
    # An encoder may have read tables that the model does not see itself.
    seen = [name for name in declared if name in subject.fields or subject.made]
    judged = {name: _judged(subject, name, declared[name], cut) for name in seen}
    for name, source in subject.fields.items():
        if name not in declared and (_suspect(name) or _suspect(source)):
            shown = name if source in ("", name) else f"{name} ({source})"
            judged[name] = "warn", f"{shown} sounds like what users did; declare it under provenance.fields"
    bad = {name: told for name, told in judged.items() if told[0] != "pass"}
    silent = len(subject.fields) - len(set(judged))
    counts = {"fields": len(subject.fields), "declared": len(seen), "suspect": len(bad)}
    if not bad:
        said = "all are declared" if not silent else f"{silent} are not declared, and no name sounds like it"
        return Finding("pass", f"no field is known to be made after the cut or of held-out rows; {said}", counts)
    verdict: Verdict = "fail" if any(worst == "fail" for worst, _ in bad.values()) else "warn"
    return Finding(verdict, "; ".join(message for _, message in bad.values()), counts)


def _suspect(name: str) -> bool:
    """Return whether a name, in snake or camel case, sounds like what users did."""
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    joined = "".join(words)
    return any(word.startswith(STEMS) or word in WORDS for word in words) or any(part in joined for part in JOINED)


def _judged(subject: Subject, name: str, field: Field, cut: int | None) -> tuple[Verdict, str]:
    """Return what the declaration of a field means under this split."""
    of_rows = field.made_of != "content"
    if field.until is not None and cut is not None:
        until = to_seconds(field.until)
        if until < cut:
            return "pass", ""
        message = f"{name} knows what happened until {to_text(until)}; the first held-out row is of {to_text(cut)}"
        promised = subject.rule.promise(subject.provenance.split) == "global"
        return ("fail" if promised or field.made_of == "interactions" else "warn"), message
    if field.made_of == "train" and subject.rule.delivered:
        return "pass", ""
    if field.made_of == "train":
        return "fail", f"{name} is made of the delivered train part, and split '{subject.rule.name}' parts anew"
    if of_rows:
        return "fail", f"{name} is made of what users did in all parts, held-out rows among it"
    if field.until is not None:
        return "warn", f"{name} is declared until {field.until}, and the data has no timestamps to compare with"
    return "pass", ""
