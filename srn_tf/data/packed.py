"""Pairs decoded once into one file, from which a crop is read without the rest of its picture.

The file is an uncompressed NumPy archive (.npz), which is a ZIP: `numpy.load(file)["000000"]` is
the first pair, uint8 [2, height, width, 3], sharp and blurred. It has a CRC-32 of each pair, and
its directory comes last, so that a file that was not written whole cannot be opened. NumPy itself
would read whole pairs; here the file is mapped into memory, and a crop costs its own bytes.

`pairs.json` inside says what the pairs are.
"""

import concurrent.futures
import contextlib
import io
import json
import mmap
import os
import pathlib
import struct
import zipfile

import numpy as np

from srn_tf import UserError
from srn_tf.atomic import atomic_file
from srn_tf.data.checks import refuse, size_problem
from srn_tf.data.examples import random_crop

_DIRECTORY = "pairs.json"
_FORMAT = "srn_tf pairs 1"


def pack(source, path, advance=lambda: None) -> None:
    """Writes all pairs of a source into a store, whole or not at all.

    The same pairs give the same file to the last byte.

    Args:
        source: has a length, `names`, `notes`, and `read(index)` -> (blurred, sharp); see
            `examples.Source`.
        path: the file, ending in .npz, which must not exist.
        advance: called after each pair.

    Raises:
        UserError: if `path` exists or is named otherwise; what the source raises.
    """
    path = pathlib.Path(path)
    if path.suffix != ".npz":
        raise UserError(f"{path}: the name must end in .npz")
    if path.exists():
        raise UserError(f"{path}: exists already; choose another name or remove it first")
    workers = os.cpu_count() or 1
    with (
        atomic_file(path) as temporary,
        zipfile.ZipFile(temporary, "w") as archive,
        concurrent.futures.ThreadPoolExecutor(workers) as pool,
    ):
        content = {"format": _FORMAT, "names": source.names, "notes": source.notes}
        # ZipInfo has a fixed date, where a bare name would get today's.
        archive.writestr(zipfile.ZipInfo(_DIRECTORY), json.dumps(content))
        # A few pairs ahead of the writer, as all of them do not fit into memory.
        reading = [
            pool.submit(source.read, index) for index in range(min(2 * workers, len(source)))
        ]
        for index in range(len(source)):
            blurred, sharp = reading.pop(0).result()
            following = index + 2 * workers
            if following < len(source):
                reading.append(pool.submit(source.read, following))
            with archive.open(zipfile.ZipInfo(_member(index)), "w") as file:
                np.lib.format.write_array(file, np.stack([sharp, blurred]))
            advance()


def verify(path, advance=lambda: None) -> int:
    """Reads a whole store and compares its checksums.

    Args:
        path: the file.
        advance: called after each pair.

    Returns:
        How many pairs there are.

    Raises:
        UserError: naming the first pair that is damaged.
    """
    with _opened(path) as (archive, content):
        for index, name in enumerate(content["names"]):
            try:
                with archive.open(_member(index)) as file:
                    while file.read(1 << 20):
                        pass
            except Exception as error:
                raise UserError(f"{path}: pair {index} ({name}) is damaged: {error}") from None
            advance()
    return len(content["names"])


class PackedSource:
    """Random crops of the pairs of a store: those of the list that it was made of.

    See `examples.Source`. The checksums of pairs are compared by `verify` alone.

    Raises:
        UserError: if the file is not a whole store, or has pictures smaller than the crop.
    """

    def __init__(self, path, crop_size: int):
        with _opened(path) as (archive, content), open(path, "rb") as file:
            members = [archive.getinfo(_member(index)) for index in range(len(content["names"]))]
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._pairs = [_array(mapped, member) for member in members]
        self.crop_size = crop_size
        self.names, self.notes = content["names"], content["notes"]
        self.content_marks = [str(member.CRC) for member in members]
        problems = [
            size_problem(f"{path}: pair {name}", pair.shape[1:3], crop_size)
            for name, pair in zip(self.names, self._pairs, strict=True)
        ]
        refuse([problem for problem in problems if problem])

    def __len__(self) -> int:
        return len(self.names)

    def example(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(blurred, sharp) crop, both uint8 [crop_size, crop_size, 3], read-only."""
        sharp, blurred = self._pairs[index]
        return random_crop(rng, (blurred, sharp), self.crop_size)


def _member(index: int) -> str:
    return f"{index:06d}.npy"


@contextlib.contextmanager
def _opened(path):
    """Gives the archive and what its `pairs.json` says.

    Raises:
        UserError: for whatever goes wrong inside, because of a damaged file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # Nothing in it takes more than its place in the file.
            if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
                raise UserError("it is compressed")
            content = json.loads(archive.read(_DIRECTORY))
            if content["format"] != _FORMAT:
                raise UserError(f"{content['format']} instead of {_FORMAT}")
            for field in ("names", "notes"):
                texts = content[field]
                if type(texts) is not list or not all(type(text) is str for text in texts):
                    raise UserError(f"{field} must be a list of texts")
            yield archive, content
    except OSError as error:
        reason = error.strerror or f"damaged: {error}"
        raise UserError(f"{path}: cannot be read ({reason})") from None
    except Exception as error:  # whatever parser a wrong byte has reached
        if str(error).startswith(f"{path}: "):
            raise
        raise UserError(
            f"{path}: not a store of pairs, or not written whole ({error}); srn-data pack makes one"
        ) from None


def _array(mapped: mmap.mmap, member: zipfile.ZipInfo) -> np.ndarray:
    """The pair of a member of an uncompressed archive, in place.

    Raises:
        Exception: of many kinds, if the archive is damaged.
    """
    # A member is 30 bytes with the lengths of its name and extra field, these, then the file.
    signature, name, extra = struct.unpack_from("<4s22xHH", mapped, member.header_offset)
    start = member.header_offset + 30 + name + extra
    header = io.BytesIO(mapped[start : start + 256])
    np.lib.format.read_magic(header)
    shape, _, dtype = np.lib.format.read_array_header_1_0(header)
    pair = np.ndarray(shape, dtype, mapped, start + header.tell())
    if (
        (signature, member.compress_type) != (b"PK\3\4", zipfile.ZIP_STORED)
        or mapped[start - name - extra : start - extra] != member.filename.encode()
        or member.file_size != header.tell() + pair.nbytes
        or (dtype, pair.ndim, shape[0], shape[-1]) != (np.uint8, 4, 2, 3)
    ):
        raise UserError(f"{member.filename} is no pair")
    return pair
