"""Verification: everything that can be checked of a submission, all problems at once, and the record of it."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import mmrec_bench
from mmrec_bench.errors import ArtefactError, ConfigError, DataError, MMRecBenchError
from mmrec_bench.experiments.environment import code_digest
from mmrec_bench.leaderboard.declared import OPEN, Declared, check_declared
from mmrec_bench.leaderboard.documents import parse_object, read_bytes
from mmrec_bench.leaderboard.findings import Findings, shown
from mmrec_bench.leaderboard.flags import flag_claimed_copies, flag_copies, flag_numbers, headlines, sketch
from mmrec_bench.leaderboard.folder import SubmissionFolder, open_folder
from mmrec_bench.leaderboard.judges import COLUMNS, JUDGES, NUMBERS, Judge
from mmrec_bench.leaderboard.judges.base import Checker, check_form
from mmrec_bench.leaderboard.lists import RowCount, read_lists
from mmrec_bench.leaderboard.numbers import (
    Measurement,
    check_claims,
    check_intervals,
    check_seeds_differ,
    check_unjudged,
    claimed,
    intervals_of,
    over_seeds,
    slices_of,
)
from mmrec_bench.leaderboard.record import (
    RECOMPUTED,
    RECORD,
    Check,
    FormOnly,
    Measured,
    Status,
    VerificationRecord,
    Verifier,
    read_record,
)
from mmrec_bench.leaderboard.scoring import score_lists
from mmrec_bench.leaderboard.submission import CARD, SUBMISSION, Submission
from mmrec_bench.leaderboard.track import Track, load_tracks
from mmrec_bench.leaderboard.truth import Truth, load_truth
from mmrec_bench.leaderboard.versions import changed_metrics, metric_versions
from mmrec_bench.leaderboard.words import Part
from mmrec_bench.settings import MAX_BYTES, Document

NOT_OF_FILES = {"digests", "memory", "replaces"}
"""Checks that fail by what is there when a submission is verified, and not by the files that were packed."""
PLEASE_REPORT = "This is a fault of mmrec-bench, too: report it, with the submission"
"""What to do about an error that nobody has thought of."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of a verification.

    Attributes:
        path: Folder of the submission.
        checks: All checks.
        record: The record; None where there is no submission to be read.
        writable: Whether a record may be written there: only files lie in the folder, and no link.
        kept: What the record has from the one that was there: nothing of it was found now.
    """

    path: Path
    checks: tuple[Check, ...]
    record: VerificationRecord | None
    writable: bool
    kept: tuple[str, ...] = ()

    @property
    def failures(self) -> tuple[Check, ...]:
        """Checks that failed, now or in an older rerun of the very same files."""
        again = () if self.record is None else self.record.failures
        return tuple(dict.fromkeys((*(check for check in self.checks if check.verdict == "fail"), *again)))

    @property
    def refused(self) -> bool:
        """Whether a check failed."""
        return bool(self.failures)

    def accepted(self, undone: str) -> VerificationRecord:
        """Return the record of a submission that is not refused.

        Args:
            undone: What is not done where it is, a sentence.

        Raises:
            ArtefactError: A check failed.
        """
        if self.record is None or self.refused:
            raise ArtefactError(f"{self.path}: is refused; see `mmrec-bench leaderboard verify {self.path}`. {undone}")
        return self.record


@dataclass(slots=True)
class Verification:
    """Verifies submissions, reading the data of each track once.

    Attributes:
        data_dir: Where data folders lie.
        fresh: Whether what older records say of reruns and audits is left out.
    """

    data_dir: Path | None = None
    fresh: bool = False
    tracks: Mapping[str, Track] = field(default_factory=load_tracks)
    _judges: dict[str, tuple[Truth, Judge] | str] = field(default_factory=dict)

    def __call__(self, path: Path) -> Verified:
        """Verify one submission: nothing of it is executed, and nothing outside its folder is read but the data.

        Whatever goes wrong on the way refuses this submission, and no other.
        """
        findings = Findings()
        try:
            return self._verified(path, findings)
        except Exception as error:
            *_, last = traceback.extract_tb(error.__traceback__)
            told = f"{type(error).__name__} in {Path(last.filename).name}, line {last.lineno}: {str(error)[:200]}"
            findings.fail("unforeseen", shown(path.name), f"could not be checked, by {told}. {PLEASE_REPORT}")
            return Verified(path, tuple(findings.checks), None, False)

    def _verified(self, path: Path, findings: Findings) -> Verified:
        folder = open_folder(path, findings)
        writable = not any(check.name == "folder" and check.verdict == "fail" for check in findings.checks)
        if folder is None:
            return Verified(path, tuple(findings.checks), None, False)
        submission = folder.submission
        if (track := self.tracks.get(submission.track)) is None:
            findings.fail(
                "submission", SUBMISSION, f"there is no track {submission.track}; there are {', '.join(self.tracks)}"
            )
            return Verified(path, tuple(findings.checks), None, False)
        changed = changed_metrics(submission.metric_versions, track)
        if changed and self._known(path, folder.digest) is None:
            told = f"metric_versions are not those of today ({', '.join(sorted(changed)[:5])})"
            findings.fail("claims", SUBMISSION, f"{told}, and no earlier record knows this submission; pack it anew")
        declared = check_declared(folder, track, findings)
        found, form = self._measured(folder, track, findings)
        if declared is not None and isinstance(judge := self._judges.get(track.name), tuple):
            _check_data(declared, judge[0], submission, findings)
        others = other_records(path)
        metrics, slices = claimed(submission), dict[str, dict[str, Measured]]()
        sketches: tuple[tuple[int, ...], ...] = ()
        if found:
            ends = intervals_of(found)
            metrics, slices = over_seeds(found, ends, track), slices_of(found)
            check_claims(submission, metrics, changed, findings)
            if declared is not None:
                check_intervals(declared.card, ends, changed, findings)
            scores = headlines(metrics["test"], track)
            check_seeds_differ(submission, found, scores, track, findings)
            sketches = tuple(sketch(one.looks.cells) for one in found)
            flag_copies(track, sketches, scores, others, submission.replaces, findings)
            flag_numbers(track, metrics, max(one.looks.ties for one in found), others, findings)
        else:
            check_unjudged(submission, None if declared is None else declared.card, track, changed, findings)
            flag_numbers(track, metrics, None, others, findings)
            flag_claimed_copies(track, metrics.get("test", {}), others, submission.replaces, findings)
        check_replaced(path, submission, findings)
        findings.passed("digests", f"{len(submission.files)} files are those that were packed")
        if findings.failed and findings.failures <= NOT_OF_FILES and self._past(path, folder.digest) is not None:
            # Half a download, little memory or a folder that lacks the earlier entry take nothing from what is known.
            return Verified(path, tuple(findings.checks), None, writable, ("all of it",))
        if declared is None:
            return Verified(path, tuple(findings.checks), None, writable)
        record = _record(folder, track, declared, findings, form, metrics, slices, sketches)
        whole = self._with_past(path, record, track).sealed()
        if (size := len(whole.text().encode())) > MAX_BYTES:
            told = f"their record would have {size:,} bytes; at most {MAX_BYTES:,} are read. Hand in fewer"
            findings.fail("seeds", SUBMISSION, f"has {len(submission.seeds)} seeds; {told}")
            return Verified(path, tuple(findings.checks), None, writable)
        return Verified(path, tuple(findings.checks), whole, writable, _kept(record, whole))

    def judge_of(self, track: Track) -> tuple[Truth, Judge] | str:
        """Return the data and judge of a track, or why there are none."""
        if track.name not in self._judges:
            try:
                truth = load_truth(track, self.data_dir)
                self._judges[track.name] = truth, JUDGES[track.task](truth)
            except DataError as error:
                self._judges[track.name] = f"the data are not there: {str(error).splitlines()[0]}"
        return self._judges[track.name]

    def _measured(
        self, folder: SubmissionFolder, track: Track, findings: Findings
    ) -> tuple[list[Measurement], FormOnly]:
        """Return what the lists of each seed give; empty where they were not, or could not be, judged."""
        submission = folder.submission
        if track.lists_in_git and submission.lists.stored == "outside":
            told = (
                f"lists.stored is outside; lists of {track.name} lie beside the entry, so that anybody can judge them"
            )
            findings.fail("lists", SUBMISSION, f"{told}. Hand them in, and set it to git")
        if not track.lists_in_git and submission.lists.stored == "git":
            told = f"lists.stored is git; lists of {track.name} stay outside git"
            findings.fail("lists", SUBMISSION, f"{told}. Set it to outside")
        if not folder.lists_there and submission.lists.stored == "outside":
            made = f"its authors say that they were made by `{submission.lists.command}`"
            reason = f"the lists are stored outside; fetch them, or make them: {made}"
            findings.flag("lists", SUBMISSION, f"only the form was checked: {reason}")
            return [], FormOnly(value=True, reason=reason)
        judge = self.judge_of(track)
        if isinstance(judge, str):
            findings.flag("lists", SUBMISSION, f"only the form was checked: {judge}")
        found = []
        for name in submission.list_files.values():
            if (content := folder.read(name, findings)) is None:
                continue
            try:
                measurement = _judged(content, track, judge, Checker(name, findings))
            except MMRecBenchError as error:
                findings.fail("lists", name, str(error))
            except MemoryError:
                told = "takes more memory than there is here, and was not judged; verify it where there is more"
                findings.fail("memory", name, told)
            else:
                found += [] if measurement is None else [measurement]
        findings.passed("lists", f"{len(submission.seeds)} seeds, {track.task}")
        if isinstance(judge, str):
            return [], FormOnly(value=True, reason=judge)
        return (found if len(found) == len(submission.seeds) else []), FormOnly(value=False, reason="")

    def _past(self, path: Path, digest: str) -> VerificationRecord | None:
        """Return the older record of the same files that is trusted; None if `fresh`."""
        return None if self.fresh else self._known(path, digest)

    def _known(self, path: Path, digest: str) -> VerificationRecord | None:
        """Return the older record of the same files, unless they were refused before they were ever accepted."""
        try:
            old = read_record(path / RECORD)
        except MMRecBenchError:
            return None
        accepted = old.status != "refused" or old.rerun is not None or old.audit is not None
        return old if accepted and old.submission_digest == digest else None

    def _with_past(self, path: Path, record: VerificationRecord, track: Track) -> VerificationRecord:
        """Return the record with what an older one of the same files knows beyond it."""
        if (old := self._past(path, record.submission_digest)) is None:
            return record
        reruns = _reruns(old)
        differed = any(check.verdict == "fail" for check in reruns)
        stands = old.status != "refused" or {check.name for check in old.failures} == {"rerun"}
        if record.status != "refused" and record.form_only.value and not old.form_only.value and stands:
            return old  # the lists were judged where they and the data were
        if old.rerun is None and old.audit is None:
            return record
        headline = {name.partition("@")[0] for name in track.headline}
        if not differed and changed_metrics(old.metric_versions, track) & headline:
            return record.model_copy(update={"audit": old.audit})  # a rerun gave numbers that stand there no more
        past: dict[str, object] = {"rerun": old.rerun, "audit": old.audit, "checks": (*record.checks, *reruns)}
        if differed:
            past["status"] = "refused"
        elif record.status in RECOMPUTED:
            past["status"] = "audited" if old.audit else "rerun-verified"
        return record.model_copy(update=past)


def _kept(now: VerificationRecord, whole: VerificationRecord) -> tuple[str, ...]:
    """Return what a record has beyond what was found now, in words."""
    kept = {
        "numbers": now.form_only.value and not whole.form_only.value,
        "rerun": whole.rerun is not None,
        "audit": whole.audit is not None,
    }
    return tuple(name for name, holds in kept.items() if holds)


def _reruns(record: VerificationRecord) -> tuple[Check, ...]:
    return tuple(check for check in record.checks if check.name == "rerun")


def other_records(path: Path) -> list[VerificationRecord]:
    """Return the intact records of the other entries beside a submission that were not refused."""
    found = []
    for record in sorted(path.resolve().parent.glob(f"*/{RECORD}")):
        if record.parent.name != path.resolve().name and not record.parent.is_symlink():
            try:
                found.append(read_record(record))
            except (ArtefactError, ConfigError):
                continue  # it is told when that entry is verified
    return [one for one in found if one.status != "refused"]


def check_replaced(path: Path, submission: Submission, findings: Findings) -> None:
    """Check that the entry that a submission replaces is there, and has an author of its own."""
    if submission.replaces is None:
        return
    earlier = path.resolve().parent / submission.replaces / SUBMISSION
    try:
        content = read_bytes(earlier, root=path.resolve().parent)
        authors = Document(str(earlier), parse_object(content, earlier)).parse(Submission).authors
    except (ArtefactError, ConfigError):
        told = f"replaces {submission.replaces}, and there is no such submission in {submission.track}"
        findings.fail("replaces", SUBMISSION, f"{told}. Name an entry that lies beside it")
        return
    if not set(authors) & set(submission.authors):
        told = f"replaces {submission.replaces}, which is by {', '.join(map(shown, authors[:5]))}"
        findings.fail("replaces", SUBMISSION, f"{told}; only one of its authors may do that")
    else:
        told = f"asks to stand in the place of {submission.replaces}; authors are names alone, so look who hands it in"
        findings.flag("replaces", SUBMISSION, told)


def _judged(content: bytes, track: Track, judge: tuple[Truth, Judge] | str, checker: Checker) -> Measurement | None:
    """Return what the lists of a seed give; None where something is wrong with them, or there are no data to tell."""
    if isinstance(judge, str):
        check_form(read_lists(content, COLUMNS[track.task], RowCount()), checker, NUMBERS[track.task])
        return None
    truth, judging = judge
    table = read_lists(content, COLUMNS[track.task], judging.n_rows)
    looks = judging.check(table, checker)
    if looks is None or checker.n_failed:
        return None
    return Measurement(looks, score_lists(track, truth.prepared, table.frame()))


def _check_data(declared: Declared, truth: Truth, submission: Submission, findings: Findings) -> None:
    prints, told = truth.prepared.fingerprints, declared.card.fingerprints
    for what, mine in (("data", told.data), ("split", told.split)):
        if mine != prints[what]:
            findings.fail("data", CARD, f"was made on another {what}: {mine[:40]}, here {prints[what]}")
    if submission.tier == "closed":
        findings.fail_each("data", CARD, _other_features(declared, prints))
    findings.passed("data", f"data {prints['data']}, split {prints['split']}")


def _other_features(declared: Declared, prints: Mapping[str, str]) -> Iterator[str]:
    """Yield in what the features of a card are not those of the track, nor made of them."""
    mine = declared.card.fingerprints.features
    theirs = {name.removeprefix("features/"): here for name, here in prints.items() if name.startswith("features/")}
    for name, digest in mine.items():
        here = theirs.get(name)
        if digest != here and (here is not None or name not in declared.made):
            has = "has none of that name" if here is None else f"has {here}"
            yield f"features {shown(name)} are {shown(digest)}; the track {has}. {OPEN}"
    for name in theirs:
        if name not in mine and (declared.modalities is None or name in declared.modalities):
            yield f"tells no digest of the features {shown(name)}, which are those of the track"


def _record(
    folder: SubmissionFolder,
    track: Track,
    declared: Declared,
    findings: Findings,
    form: FormOnly,
    metrics: Mapping[Part, Mapping[str, Measured]],
    slices: Mapping[str, Mapping[str, Measured]],
    sketches: tuple[tuple[int, ...], ...],
) -> VerificationRecord:
    submission, card = folder.submission, declared.card
    status: Status = "refused" if findings.failed else "self-reported" if form.value else "list-verified"
    return VerificationRecord(
        track=submission.track,
        entry=submission.entry,
        submission_digest=folder.digest,
        verifier=Verifier(version=mmrec_bench.__version__, code=code_digest()),
        metric_versions=(form.value and submission.metric_versions) or metric_versions(track),
        status=status,
        form_only=form,
        checks=tuple(findings.checks),
        seeds=submission.seeds,
        provisional=submission.provisional,
        metrics={part: dict(found) for part, found in metrics.items()},
        slices={name: dict(found) for name, found in slices.items()},
        n_parameters=card.parameters.get("total", 0),
        hardware=tuple({making.device.model_dump_json(): making.device for making in card.makings}.values()),
        tuning=None if card.tuning is None else dict(card.tuning.budget),
        sketches=sketches,
    )
