"""Which pictures a user means, and where their results go."""

import dataclasses
import glob
import os
import pathlib

from srn_tf import UserError
from srn_tf.data.pair_list import read_list
from srn_tf.images.files import (
    EXTENSIONS,
    as_stored,
    find_images,
    format_of,
    from_list,
    pictures_among,
    read_lines,
)


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
    inputs, output_path, recursive: bool = False, extension: str | None = None, sharp_path=None
) -> list[Job]:
    """The pictures that a user means.

    Args:
        inputs: a path, or several. Each is a picture; a folder, of which hidden files and what is
            no picture are left out; a pattern such as `photos/*.jpg`; or a text file (.txt) with a
            path a line, relative to the current folder. Results keep their place below the folder
            that all have in common.
        output_path: folder of the results; what is in it is never taken as input. For a single
            picture also the file to write, if it has the extension of a picture.
        recursive: whether to look into the folders of a folder.
        extension: of the results, such as ".png"; by default that of each picture.
        sharp_path: folder of sharp pictures under the names of the blurred ones.

    Raises:
        UserError: if there is nothing to read, or a result would replace a picture or another
            result.
    """
    inputs = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    if len(inputs) > 1:  # a shell's `photos/*` names the results of before, too
        output = os.path.realpath(output_path)
        inputs = [path for path in inputs if os.path.realpath(path) != output] or inputs
    found = [_sources(path, recursive) for path in inputs]
    sources = list(dict.fromkeys(source for group in found for source in group))
    (first, *others) = inputs
    root = first if not others and os.path.isdir(first) else _common_folder(sources)
    text = ", ".join(map(str, inputs))
    sharp_of = (lambda name: None) if sharp_path is None else _sharp_in(sharp_path)
    if names_a_picture(output_path):
        if len(sources) > 1:
            raise UserError(
                f"{output_path}: is the name of one picture, and there are {len(sources)}"
            )
        if extension and pathlib.Path(output_path).suffix.lower() != extension:
            raise UserError(f"{output_path}: does not end in {extension}, the format asked for")
        output_path, name = os.path.split(output_path)
        sharp = [sharp_of(pathlib.Path(source).name) for source in sources]
        return _jobs([name], sources, sharp, output_path or ".", pathlib.Path(name).suffix)
    output = os.path.realpath(output_path)
    if output == os.path.realpath(root):
        raise UserError(f"{output_path}: is the folder of the input; choose another")
    sources = [source for source in sources if not _is_below(os.path.realpath(source), output)]
    if not sources:
        raise UserError(f"{text}: all pictures in it are in {output_path}, of the results")
    absolute_root = os.path.abspath(root)
    names = [os.path.relpath(os.path.abspath(source), absolute_root) for source in sources]
    return _jobs(names, sources, list(map(sharp_of, names)), output_path, extension)


def names_a_picture(path) -> bool:
    """Whether an output is a file to write rather than a folder."""
    path = pathlib.Path(path)
    return path.suffix.lower() in EXTENSIONS and not path.is_dir()


def beside(inputs) -> pathlib.Path:
    """Where results go if nobody says: the folder `restored` beside the first input."""
    path = os.path.normpath(inputs[0])
    if os.path.basename(path) in (os.curdir, os.pardir):
        path = os.path.abspath(path)
    while glob.has_magic(path) and not os.path.exists(path):
        path = os.path.dirname(path)
        if not glob.has_magic(path):
            return pathlib.Path(path, "restored")
    return pathlib.Path(os.path.dirname(path), "restored")


def _sources(given, recursive: bool) -> list[pathlib.Path]:
    """The pictures that one word of the user's means."""
    text, path = str(given), as_stored(given)
    if path.is_dir():
        return find_images(path, recursive)
    if path.is_file():
        return _read_paths(path) if path.suffix.lower() == ".txt" else [path]
    if path.exists():
        raise UserError(f"{text}: is neither a file nor a folder")
    if not glob.has_magic(text):
        raise UserError(f"{text}: no such file or folder")
    found = sorted(map(pathlib.Path, glob.glob(text, recursive=True)))
    if found := pictures_among([file for file in found if file.is_file()], text):
        return found
    raise UserError(f"{text}: no pictures of this pattern ({', '.join(EXTENSIONS)})")


def _sharp_in(folder):
    """A function from the name of a picture to its sharp one."""
    return lambda name: as_stored(pathlib.Path(folder, name))


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
    sources = {}  # in their order, each once
    # Names need not be valid text.
    for number, line in enumerate(read_lines(path, errors="surrogateescape"), start=1):
        if not line.strip():
            continue
        source = as_stored(from_list(line)) if "\0" not in line else None
        # A missing one is named when it is read. A pipe would be waited for, a device never end.
        if source is None or (source.exists() and not source.is_file()):
            raise UserError(f"{path}:{number}: {line!r} is not the path of a picture")
        sources[source] = None
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
