"""Which pictures a user means, and where their results go."""

import dataclasses
import glob
import os
import pathlib

from srn_tf import UserError
from srn_tf.data.pair_list import read_list
from srn_tf.images.files import EXTENSIONS, find_images, format_of, pictures_among


@dataclasses.dataclass(frozen=True)
class Job:
    """One picture to restore.

    Attributes:
        name: path of the result below the output folder, with slashes.
        source, target: files to read and to write.
        sharp: the sharp picture to compare with, which need not exist.
    """

    name: str
    source: pathlib.Path
    target: pathlib.Path
    sharp: pathlib.Path | None = None


def find_jobs(
    input_path, output_path, recursive: bool = False, extension: str | None = None, sharp_path=None
) -> list[Job]:
    """The pictures that a user means.

    Args:
        input_path: a picture; a folder, of which hidden files and what is no picture are left out;
            a pattern such as `photos/*.jpg`; or a text file (.txt) with a path a line, relative to
            the current folder. Results keep their place below the folder that all have in common.
        output_path: folder of the results; what is in it is never taken as input.
        recursive: whether to look into the folders of a folder.
        extension: of the results, such as ".png"; by default that of each picture.
        sharp_path: folder of sharp pictures under the names of the blurred ones.

    Raises:
        UserError: if there is nothing to read, or a result would replace a picture or another
            result.
    """
    text, path = str(input_path), pathlib.Path(input_path)
    if path.is_dir():
        sources, root = find_images(path, recursive), path
    elif path.is_file():
        sources = _read_paths(path) if path.suffix.lower() == ".txt" else [path]
        root = _common_folder(sources)
    elif glob.has_magic(text):
        found = map(pathlib.Path, glob.glob(text, recursive=True))
        sources = pictures_among([file for file in found if file.is_file()], text)
        if not sources:
            raise UserError(f"{text}: no pictures of this pattern ({', '.join(EXTENSIONS)})")
        root = _common_folder(sources)
    else:
        raise UserError(f"{text}: no such file or folder")
    output = os.path.realpath(output_path)
    if output == os.path.realpath(root):
        raise UserError(f"{output_path}: is the folder of the input; choose another")
    sources = [source for source in sources if not _is_below(os.path.realpath(source), output)]
    if not sources:
        raise UserError(f"{text}: all pictures in it are in {output_path}, of the results")
    absolute_root = os.path.abspath(root)
    names = [os.path.relpath(os.path.abspath(source), absolute_root) for source in sources]
    sharp = [None if sharp_path is None else pathlib.Path(sharp_path, name) for name in names]
    return _jobs(names, sources, sharp, output_path, extension)


def jobs_of_list(datalist, data_root, output_path, extension: str | None = None) -> list[Job]:
    """The pairs of a data list: the blurred pictures to restore and the sharp ones to compare with.

    Raises:
        UserError: as `read_list` and `find_jobs`.
    """
    pairs = read_list(datalist, data_root)
    names = [os.path.relpath(pair.blurred, data_root) for pair in pairs]
    for name, pair in zip(names, pairs, strict=True):
        if name.startswith(os.pardir):
            raise UserError(f"{pair.where}: {pair.blurred} is not below {data_root}")
    blurred, sharp = [pair.blurred for pair in pairs], [pair.sharp for pair in pairs]
    return _jobs(names, blurred, sharp, output_path, extension)


def _read_paths(path: pathlib.Path) -> list[pathlib.Path]:
    try:
        # Names need not be valid text.
        lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").split("\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be read as a list of paths ({error})") from None
    sources = {}  # in their order, each once
    for number, line in enumerate(lines, start=1):
        if not (line := line.removesuffix("\r")).strip():
            continue
        if "\0" in line or os.path.isdir(line):
            raise UserError(f"{path}:{number}: {line!r} is not the path of a picture")
        sources[pathlib.Path(line)] = None
    if not sources:
        raise UserError(f"{path}: no paths in this file")
    return list(sources)


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(os.path.join(folder, ""))


def _common_folder(sources) -> str:
    return os.path.commonpath([os.path.dirname(os.path.abspath(source)) for source in sources])


def _jobs(names, sources, sharp, output_path, extension) -> list[Job]:
    output_path = pathlib.Path(output_path)
    if output_path.exists() and not output_path.is_dir():
        raise UserError(f"{output_path}: is not a folder")
    if extension:
        format_of(f"*{extension}")
    jobs = []
    for name, source, sharp_file in zip(names, sources, sharp, strict=True):
        name = pathlib.Path(name).with_suffix(extension or source.suffix)
        jobs.append(Job(name.as_posix(), source, output_path / name, sharp_file))
    # By identity, so that links and letter case deceive nobody.
    read = {_identity(path) for job in jobs for path in (job.source, job.sharp) if path} - {None}
    targets = {}
    for job in jobs:
        if _identity(job.target) in read:
            raise UserError(f"{job.target}: is a picture to read, and would be overwritten")
        other = targets.setdefault(job.target, job)
        if other is not job:
            raise UserError(f"{job.source} and {other.source} would both become {job.target}")
    return jobs


def _identity(path) -> tuple | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
