"""Files and folders that appear whole or not at all."""

import contextlib
import os
import pathlib
import platform
import re
import shutil
import tempfile
import uuid
import zlib

from srn_tf import UserError

# Temporary names say which process of which machine writes them.
_MACHINE = f"{zlib.crc32(platform.node().encode()):08x}"
_TEMPORARY = re.compile(r"\.srn-([0-9a-f]{8})-(\d+)-[0-9a-f]{32}.*", re.DOTALL)
_ours, _swept = set(), set()


def sweep(folder) -> None:
    """Removes what processes that are no more, as after `kill -9`, were writing into a folder."""
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if not (match := _TEMPORARY.fullmatch(name)) or match[1] != _MACHINE or name in _ours:
                continue
            import psutil  # here: benchmarks write their figures where there is none

            process = int(match[2])
            if process == os.getpid() or not psutil.pid_exists(process):
                _remove(pathlib.Path(folder, name))


def require_writable(folder) -> None:
    """Raises OSError, by the name the user knows, if nothing can be written into a folder.

    The folder need not exist; then what would hold it must allow it.
    """
    place = pathlib.Path(folder).absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(folder)) from None
    sweep(place)


def _temporary(path: pathlib.Path) -> pathlib.Path:
    """A name beside `path`: hidden, of its extension, which picture writers go by."""
    if (folder := path.parent.absolute()) not in _swept:
        _swept.add(folder)
        sweep(folder)
    name = f".srn-{_MACHINE}-{os.getpid()}-{uuid.uuid4().hex}{path.suffix}"
    _ours.add(name)
    return path.with_name(name)


def _remove(path: pathlib.Path) -> None:
    """Removes a file or folder, if it is there and can be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
    _ours.discard(path.name)


@contextlib.contextmanager
def _under_its_name(path: pathlib.Path, temporary: pathlib.Path):
    """Errors of the system name what the user wants to write, not the temporary file."""
    try:
        yield
    except OSError as error:
        name = None if error.filename is None else os.fsdecode(error.filename)
        if error.errno and (name is None or name.removeprefix("file:").startswith(str(temporary))):
            raise type(error)(error.errno, error.strerror, str(path)) from None
        raise


@contextlib.contextmanager
def atomic_file(path):
    """Gives a temporary path beside `path`; at the end it becomes `path`, on an error it goes.

    It keeps the extension, which picture writers go by.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        with _under_its_name(path, temporary):
            yield temporary
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    finally:
        _remove(temporary)


@contextlib.contextmanager
def atomic_folder(path, overwrite: bool = False):
    """Gives a temporary folder beside `path`; at the end it becomes `path`, on an error it goes.

    Args:
        path: the folder to write, which must not exist.
        overwrite: whether it may, and then goes with all that is in it.

    Raises:
        UserError: if `path` exists already.
    """
    path = pathlib.Path(path)
    if path.exists() and not overwrite:
        raise UserError(f"{path}: exists already; choose another folder or remove it first")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, replaced = _temporary(path), _temporary(path)
    try:
        with _under_its_name(path, temporary):
            temporary.mkdir()
            yield temporary
            if overwrite and path.exists():
                path.rename(replaced)
            temporary.rename(path)
    finally:
        if replaced.exists() and not path.exists():
            replaced.rename(path)
        for folder in (temporary, replaced):
            _remove(folder)


@contextlib.contextmanager
def temporary_folder(place):
    """Gives a new folder in `place`, of this user alone; at the end it goes with all that is in it.

    That of a process that was killed goes with the next one there.
    """
    folder = _temporary(pathlib.Path(place, "folder"))
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        _remove(folder)
