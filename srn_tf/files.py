"""Files and folders that appear whole or not at all."""

import contextlib
import os
import pathlib
import shutil
import uuid


@contextlib.contextmanager
def atomic_file(path):
    """Gives a temporary path beside `path`; at the end it becomes `path`, on an error it goes.

    The temporary name is hidden and keeps the extension, which picture writers go by.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno and error.filename in (None, temporary, str(temporary)):
            # Under the name that the user knows.
            raise type(error)(error.errno, error.strerror, str(path)) from None
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path):
    """Gives a temporary folder beside `path`, which must not exist; at the end it becomes `path`.

    Raises:
        ValueError: if `path` exists already.
    """
    path = pathlib.Path(path)
    if path.exists():
        raise ValueError(f"{path}: exists already; choose another folder or remove it first")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}")
    temporary.mkdir()
    try:
        yield temporary
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
