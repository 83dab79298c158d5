"""A folder of pictures: restored, scored against sharp ones, and shown on a page."""

import dataclasses
import pathlib

from srn_tf import UserError
from srn_tf.evaluation import koehler
from srn_tf.evaluation.report import Entry, gray_map, thumbnail, write_report
from srn_tf.evaluation.scores import first_folder, score, summarize, write_csv, write_json
from srn_tf.evaluation.shards import Shard
from srn_tf.images.picture import MAX_MEGAPIXELS, QUALITY
from srn_tf.images.rgb import read_rgb
from srn_tf.progress import progress
from srn_tf.restoration.batch import Restorer, deblur_files, explain
from srn_tf.restoration.jobs import Job


@dataclasses.dataclass
class Summary:
    """What became of a folder.

    Attributes:
        restored: how many pictures were.
        there_before: how many had a result already.
        scores: a row for each picture that has a sharp one; see `evaluation.scores`.
        means: of the scores, by sequence and of all; in scores.csv and scores.json, too.
        report: the page; None without one.
        notes: what is not as it was in the pictures, a line each.
        errors: what failed, a line each.
    """

    restored: int = 0
    there_before: int = 0
    scores: list[dict] = dataclasses.field(default_factory=list)
    means: list[dict] = dataclasses.field(default_factory=list)
    report: pathlib.Path | None = None
    notes: list[str] = dataclasses.field(default_factory=list)
    errors: list[str] = dataclasses.field(default_factory=list)


def restore_folder(
    deblurrer: Restorer,
    jobs: list[Job],
    output_path,
    *,
    overwrite: bool = False,
    quality: int = QUALITY,
    max_megapixels: float = MAX_MEGAPIXELS,
    batch_size: int = 1,
    report_title: str | None = None,
    koehler_path=None,
    shard: Shard | None = None,
) -> Summary:
    """Restores pictures, and scores those that have a sharp one.

    A picture that fails does not stop the others. A full disk does.

    Args:
        deblurrer: what restores them.
        jobs: what to restore, as `find_jobs` gives them.
        output_path: folder of the results, for scores and report.
        overwrite, quality, max_megapixels, batch_size: as for `deblur_files`.
        report_title: heading of report.html; by default there is no such page.
        koehler_path: ground truths of the benchmark of Köhler et al., to score by its protocol.
        shard: the part of a larger list that `jobs` are; its scores and report are named so.

    Raises:
        UserError: if `koehler_path` lacks the ground truths of a picture.
        OSError: if the disk is full.
    """
    output_path, summary, entries = pathlib.Path(output_path), Summary(), []
    shard = shard or Shard()
    if koehler_path:
        for job in jobs:  # before hours of work, not after
            koehler.ground_truths(koehler_path, job.name)
    with progress("deblurring", len(jobs)) as advance:
        for result in deblur_files(
            deblurrer,
            jobs,
            overwrite=overwrite,
            quality=quality,
            max_megapixels=max_megapixels,
            batch_size=batch_size,
            on_tile=lambda tile, tiles: advance(f"tile {tile} of {tiles}", parts=0),
            finish=lambda job, decision: _Finished.of(job, decision, report_title is not None),
        ):
            if result.restored and result.seconds is None:
                summary.there_before += 1
            elif result.restored:
                summary.restored += 1
            summary.notes += [f"{result.job.name}: {note}" for note in result.notes]
            if result.error:
                summary.errors.append(explain(result))
            if finished := result.extra:
                finished.add_to(summary, entries, result.seconds)
            advance(result.job.name)
    sequence = first_folder
    if koehler_path:
        sequence = koehler.trajectory
        _score_by_koehler(summary, jobs, koehler_path)
    if summary.scores:
        summary.means = summarize(summary.scores, sequence)
        write_csv(output_path / shard.name("scores.csv"), summary.scores, summary.means)
    if report_title is not None and (entries or summary.errors):
        summary.report = output_path / shard.name("report.html")
        write_report(summary.report, entries, report_title, summary.errors)
    if summary.scores or shard.count > 1:  # last: it says that the shard is done
        write_json(output_path / shard.name("scores.json"), summary.scores, summary.means)
    return summary


@dataclasses.dataclass(frozen=True)
class _Finished:
    """Scores of a picture, what kept them from being computed, and its entry in the report."""

    scores: dict | None = None
    error: Exception | None = None
    entry: Entry | None = None

    @classmethod
    def of(cls, job: Job, decision, with_entry: bool) -> "_Finished":
        """From the files, because scores are those of the picture as saved."""
        scores = error = None
        if job.sharp is not None:
            try:
                scores = score(job.name, job.source, job.target, job.sharp)
            except (UserError, OSError) as problem:
                error = problem
        return cls(scores, error, _entry(job, scores, decision) if with_entry else None)

    def add_to(self, summary: Summary, entries: list[Entry], seconds: float | None) -> None:
        if self.scores:
            summary.scores.append(self.scores)
        if self.error:
            summary.errors.append(str(self.error))
        if self.entry:
            entries.append(dataclasses.replace(self.entry, seconds=seconds))


def _entry(job: Job, scores: dict | None, decision) -> Entry:
    sharp = job.sharp if scores else None  # it is there, and of the same size
    pictures = [read_rgb(file) for file in (job.source, job.target, sharp) if file]
    return Entry(
        name=job.name,
        blurred=job.source,
        restored=job.target,
        width=pictures[1].shape[1],
        height=pictures[1].shape[0],
        thumbnails=tuple(map(thumbnail, pictures)),
        seconds=None,
        scores=scores and {key: value for key, value in scores.items() if key != "name"},
        sharp=sharp,
        words=decision.words if decision else "",
        maps={name: thumbnail(gray_map(values)) for name, values in decision.maps.items()}
        if decision
        else {},
    )


def _score_by_koehler(summary: Summary, jobs: list[Job], koehler_path) -> None:
    pictures = [(job.name, job.target) for job in jobs if job.target.exists()]
    truths = sum(len(koehler.ground_truths(koehler_path, name)) for name, _ in pictures)
    with progress("scoring", truths) as advance:
        for row, error in koehler.evaluate(pictures, koehler_path, advance):
            if row:
                summary.scores.append(row)
            if error:
                summary.errors.append(str(error))
