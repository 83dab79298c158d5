"""Files and folders that appear whole or not at all."""

import contextlib
import os
import pathlib
import shutil
import uuid

from srn_tf import UserError


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
    temporary, replaced = (path.with_name(f".{uuid.uuid4().hex}") for _ in range(2))
    temporary.mkdir()
    try:
        yield temporary
        if overwrite and path.exists():
            path.rename(replaced)
        temporary.rename(path)
    finally:
        if replaced.exists() and not path.exists():
            replaced.rename(path)
        for folder in (temporary, replaced):
            shutil.rmtree(folder, ignore_errors=True)
