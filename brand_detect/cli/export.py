"""Exports a job's report as files for other programs."""

import errno
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from brand_detect.cli.common import AttemptOpt, JobArg, err, home, plain
from brand_detect.cli.local import Bars
from brand_detect.domain.errors import BadInput, Permanent
from brand_detect.domain.protocols import Interval, Rewritten
from brand_detect.domain.settings import Settings
from brand_detect.report.clips import parts
from brand_detect.report.exports import LABELLED, LOCAL_FILES, Format

if TYPE_CHECKING:
    from brand_detect.operations.exports import StoredReport
    from brand_detect.orchestration.resources import Services


def export(
    job_id: JobArg,
    what: Annotated[Format, typer.Option("--format", metavar="FORMAT", help=f"one of {', '.join(Format)}")],
    folder: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="the folder to write into; created if missing")
    ],
    attempt: AttemptOpt = "",
    no_images: Annotated[
        bool, typer.Option("--no-images", help="coco, yolo, label-studio: only labels, no pictures")
    ] = False,
    prefix: Annotated[
        str,
        typer.Option("--image-prefix", metavar="PREFIX", help="label-studio: prefix of the pictures' names"),
    ] = LOCAL_FILES,
    exposures: Annotated[
        list[str],
        typer.Option("--exposure", metavar="ID", help="clip: only this exposure; repeatable; default: all"),
    ] = [],  # noqa: B006 typer copies it
    force: Annotated[bool, typer.Option("--force", help="write into a folder that is not empty")] = False,
) -> None:
    """Export a report for other programs, or as videos.

    As labels for training and correction, markers, tables or a workbook; as
    the video with boxes, or as a clip of each exposure.

    Examples:
      brand-detect export match-3f9a1c07 --format xlsx --out workbook
      brand-detect export match-3f9a1c07 --format mp4 --out drawn
      brand-detect export match-3f9a1c07 --format clip --out clips
    """
    from brand_detect.operations import exports
    from brand_detect.orchestration.resources import Services

    home()
    services = Services.of(Settings.load())
    found = exports.StoredReport.of(services.store, job_id, attempt)
    prepare(folder, force)
    with Bars() as bars:
        progress = bars.stage(what.value, getLogger(__name__))
        if what is Format.mp4:
            engines = services.engines
            tools = services.media, engines.rewriter(services.settings.video_limits), engines.canvas()
            _write_video(folder / f"{job_id}.mp4", lambda draft: exports.annotate(found, *tools, draft, progress)[0])
        elif what is Format.clip:
            wanted = _parts(found, exposures)
            if not wanted:
                err.print("note: the report has no exposure to cut out", highlight=False)
            for exposure_id, part in wanted.items():
                make = partial(exports.clip, found, services, part, progress=progress)
                _write_video(folder / f"{exposure_id}.mp4", make)
        else:
            pictures: Iterable[tuple[str, bytes]] = ()
            if what in LABELLED and not no_images:
                pictures = _pictures(found, services)
            written = 0
            for contents in (exports.files(found, what, prefix), pictures):
                for name, data in contents:
                    write(folder / name, data)
                    written += 1
                    progress(written, 0, "files")
    if what in LABELLED and found.labels.n_hidden:
        err.print(f"note: boxes left out because the frame hides them: {found.labels.n_hidden}", highlight=False)
    err.print(f"written: {plain(str(folder.resolve()))}", highlight=False, soft_wrap=True)


def prepare(folder: Path, force: bool) -> None:
    """Create the folder.

    Raises:
        BadInput: it cannot be created or written into, or is not empty.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        full = any(folder.iterdir())
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as e:
        raise BadInput(f"{folder} cannot be written: {e.strerror}.", "choose a folder that you may write into") from e
    if full and not force:
        raise BadInput(f"{folder} is not empty.", "choose another folder, or add --force")


def _pictures(found: "StoredReport", services: "Services") -> Iterable[tuple[str, bytes]]:
    from brand_detect.operations.exports import images

    try:
        return images(found, services.engines.codec())
    except Permanent as e:
        raise Permanent(str(e), f"{e.hint}; or write only the labels with --no-images") from e


def _parts(found: "StoredReport", exposures: Sequence[str]) -> dict[str, Interval]:
    """The parts of the video with ``exposures``, by default all.

    Raises:
        BadInput: the report lacks one of them.
    """
    known = parts(found.report)
    for exposure_id in exposures:
        if exposure_id not in known:
            raise BadInput(f"The report has no exposure {exposure_id!r}.", "exposures.csv lists their ids")
    return {exposure_id: known[exposure_id] for exposure_id in exposures or known}


def _write_video(target: Path, make: Callable[[Path], Rewritten]) -> None:
    """Let ``make`` write a video, which gets its name when it is whole, and print its notes."""
    draft = target.with_name(f".{target.name}.part")
    try:
        notes = make(draft).notes
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    for note in notes:
        err.print(f"note: {plain(note)}", highlight=False)


def write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as e:
        raise BadInput(f"{path} cannot be written: {e.strerror}.", "free some space, or choose another folder") from e
