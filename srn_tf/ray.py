"""Folders beyond one machine, on Ray Data: any tree of pictures to any other, local or in a store.

    import srn_tf.ray
    summary = srn_tf.ray.restore("s3://photos/blurred", "s3://photos/restored", workers=8)

Needs the extra `ray`. Each picture becomes what `test.py` makes of it, under the same name below
the output. Ray restarts workers that die and gives their pictures to others; a picture is written
whole, so that one that is restored twice is the same.
"""

import dataclasses
import math
import os
import pathlib
import tempfile

import pyarrow.fs
import ray
import ray.data

from srn_tf import UserError
from srn_tf.images.files import EXTENSIONS, format_of
from srn_tf.images.picture import MAX_MEGAPIXELS, QUALITY
from srn_tf.restoration.batch import deblur_files, explain
from srn_tf.restoration.folder import Summary
from srn_tf.restoration.jobs import Job

_AT_ONCE = 16  # pictures that a worker is given: read, restored and written beside each other


@dataclasses.dataclass(frozen=True)
class Options:
    """How a worker restores: as `Deblurrer` and `deblur_files` take it; `extension` of results."""

    checkpoint: str | None = None
    precision: str = "auto"
    tile: int | None = None
    model: str | None = None
    extension: str | None = None
    quality: int = QUALITY
    max_megapixels: float = MAX_MEGAPIXELS
    batch_size: int | None = None


def restore(
    input_uri: str,
    output_uri: str,
    options: Options | None = None,
    *,
    workers: int = 1,
    num_gpus: float = 0,
    num_cpus: float = 1,
    overwrite: bool = False,
    address: str | None = None,
    advance=lambda name: None,
) -> Summary:
    """Restores all pictures below a folder; hidden ones and what is no picture are left out.

    Args:
        input_uri, output_uri: local paths, or what pyarrow or fsspec opens, as s3:// and gs://.
        options: how to restore.
        workers: processes with a network each.
        num_gpus, num_cpus: of each worker.
        overwrite: whether to restore pictures again whose result is there.
        address: of a Ray cluster, or "local", for which one is begun on this machine; by default
            $RAY_ADDRESS, else local. Nothing where this process has joined one already.

    Returns:
        A Summary without scores and report.
        advance: called after each picture with its name.

    Raises:
        UserError: if there is no picture, or a checkpoint or format that cannot be used.
        OSError: if the input cannot be listed.
        ray.exceptions.RayError: if the cluster cannot do it.
    """
    options = options or Options()
    source, root = _filesystem(input_uri)
    names = _pictures(source, root)
    if not names:
        raise UserError(f"{input_uri}: no pictures in this folder ({', '.join(EXTENSIONS)})")
    results = {name: _result_name(name, options.extension) for name in names}
    if len({*results.values()}) < len(results):
        raise UserError(f"{input_uri}: with one extension, two pictures would have one name")
    there = set() if overwrite else {*_files(*_filesystem(output_uri))}
    summary, todo = Summary(), [name for name in names if results[name] not in there]
    summary.there_before = len(names) - len(todo)
    if not todo:
        return summary
    _start_ray(address, workers * num_cpus)
    pictures = ray.data.read_binary_files(
        [f"{root}/{name}" for name in todo],
        filesystem=source,
        include_paths=True,
        override_num_blocks=max(workers, -(-len(todo) // _AT_ONCE)),
    )
    restored = pictures.map_batches(
        _Worker,
        fn_constructor_args=(root, output_uri, options),
        compute=ray.data.ActorPoolStrategy(size=workers),
        batch_size=_AT_ONCE,
        num_gpus=num_gpus,
        num_cpus=num_cpus,
    )
    for row in restored.iter_rows():
        if row["error"]:
            summary.errors.append(row["error"])
        else:
            summary.restored += 1
        summary.notes += [f"{row['name']}: {note}" for note in row["notes"]]
        advance(row["name"])
    return summary


def _start_ray(address: str | None, cpus: float) -> None:
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to Ray's makers
    address = address or os.environ.get("RAY_ADDRESS", "local")
    if address != "local":
        ray.init(address, log_to_driver=False)
    else:
        # One more than the workers take, or nothing would be read.
        most = max(os.cpu_count(), math.ceil(cpus) + 1)
        ray.init("local", num_cpus=most, include_dashboard=False, log_to_driver=False)


class _Worker:
    """A network in a process of its own; an actor of Ray."""

    def __init__(self, root: str, output_uri: str, options: Options):
        from srn_tf.restoration.deblurrer import Deblurrer, batch_size_here

        self._root, self._options = root, options
        self._target, self._folder = _filesystem(output_uri)
        names = ("checkpoint", "precision", "tile", "model")
        self._deblurrer = Deblurrer(*(getattr(options, name) for name in names))
        self._batch_size = options.batch_size or batch_size_here()

    def __call__(self, batch: dict) -> dict:
        """Columns path and bytes become name, notes and error, "" where there is none."""
        names = [path.removeprefix(f"{self._root}/") for path in batch["path"]]
        rows = []
        with tempfile.TemporaryDirectory() as folder:
            jobs = []
            for i, (name, content) in enumerate(zip(names, batch["bytes"], strict=True)):
                source = pathlib.Path(folder, f"{i}{pathlib.Path(name).suffix}")
                result = pathlib.Path(self._result_name(name))
                source.write_bytes(content)
                jobs.append(Job(name, source, source.with_name(f"{i}.restored{result.suffix}")))
            rules = {
                "quality": self._options.quality,
                "max_megapixels": self._options.max_megapixels,
            }
            for result in deblur_files(self._deblurrer, jobs, batch_size=self._batch_size, **rules):
                error = result.error
                if error is None:
                    self._write(result.job)
                said = explain(result).replace(str(result.job.source), result.job.name)
                rows.append((result.job.name, list(result.notes), said if error else ""))
        return dict(
            zip(("name", "notes", "error"), map(list, zip(*rows, strict=True)), strict=True)
        )

    def _result_name(self, name: str) -> str:
        return _result_name(name, self._options.extension)

    def _write(self, job: Job) -> None:
        """Whole or not at all: stores write so; in folders a name is given at the end."""
        path = f"{self._folder}/{self._result_name(job.name)}"
        local = isinstance(self._target, pyarrow.fs.LocalFileSystem)
        if local:
            self._target.create_dir(path.rpartition("/")[0], recursive=True)
        temporary = f"{path}.{pathlib.Path(job.target).parent.name}" if local else path
        with self._target.open_output_stream(temporary) as file:
            file.write(job.target.read_bytes())
        if local:
            self._target.move(temporary, path)


def _filesystem(uri: str) -> tuple[pyarrow.fs.FileSystem, str]:
    """Where a path is, and the path there."""
    if "://" not in uri:
        return pyarrow.fs.LocalFileSystem(), str(pathlib.Path(uri).absolute())
    try:
        files, path = pyarrow.fs.FileSystem.from_uri(uri)
    except pyarrow.ArrowInvalid:
        import fsspec

        try:
            other, path = fsspec.core.url_to_fs(uri)
        except (ValueError, ImportError) as error:
            raise UserError(f"{uri}: {error}") from None
        files = pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(other))
    return files, path.rstrip("/")


def _files(files: pyarrow.fs.FileSystem, root: str) -> list[str]:
    """Names below a folder; none if it is not there."""
    selector = pyarrow.fs.FileSelector(root, recursive=True, allow_not_found=True)
    found = [info.path for info in files.get_file_info(selector) if info.is_file]
    return [path.removeprefix(f"{root}/") for path in found]


def _pictures(files: pyarrow.fs.FileSystem, root: str) -> list[str]:
    paths = [pathlib.PurePosixPath(name) for name in _files(files, root)]
    return sorted(
        str(path)
        for path in paths
        if path.suffix.lower() in EXTENSIONS and not any(part[0] == "." for part in path.parts)
    )


def _result_name(name: str, extension: str | None) -> str:
    if extension is None:
        return name
    format_of(f"*{extension}")
    return str(pathlib.PurePosixPath(name).with_suffix(extension))
