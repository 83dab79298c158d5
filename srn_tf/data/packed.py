"""Pairs decoded once into one file, from which a crop is read without the rest of its picture.

The file is an uncompressed NumPy archive (.npz), which is a ZIP: `numpy.load(file)["000000"]` is
the first pair, uint8 [2, height, width, 3], sharp and blurred (with candidates to choose from, they
follow: see `networks.configs`). It has a CRC-32 of each pair, and
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
from srn_tf.data.examples import Source, order, random_crop
from srn_tf.data.pool import process_pool
from srn_tf.deconvolution.candidates import candidates

_DIRECTORY = "pairs.json"
_FORMAT = "srn_tf pairs 1"


def pack(source, path, advance=lambda: None, executor=None) -> None:
    """Writes all pairs of a source into a store, whole or not at all.

    The same pairs give the same file to the last byte.

    Args:
        source: has a length, `names`, `notes`, and `read(index)` -> (blurred, sharp), with what
            comes with the blurred picture between; see `examples.Source`.
        path: the file, ending in .npz, which must not exist.
        advance: called after each pair.
        executor: what reads the pairs, a `concurrent.futures.Executor`; default: threads.

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
        executor or concurrent.futures.ThreadPoolExecutor(workers) as pool,
    ):
        content = {"format": _FORMAT, "names": source.names, "notes": source.notes}
        # ZipInfo has a fixed date, where a bare name would get today's.
        archive.writestr(zipfile.ZipInfo(_DIRECTORY), json.dumps(content))
        # A few pairs ahead of the writer, as all of them do not fit into memory.
        reading = [
            pool.submit(source.read, index) for index in range(min(2 * workers, len(source)))
        ]
        for index in range(len(source)):
            *blurred, sharp = reading.pop(0).result()
            following = index + 2 * workers
            if following < len(source):
                reading.append(pool.submit(source.read, following))
            with archive.open(zipfile.ZipInfo(_member(index)), "w") as file:
                np.lib.format.write_array(file, np.stack([sharp, *blurred]))
            advance()


def pack_drawn(
    source: Source,
    path,
    count: int,
    seed: int,
    *,
    with_candidates: bool = False,
    jobs: int = 0,
    advance=lambda: None,
) -> None:
    """Writes the examples at the first positions of a run (see `examples`) into a store, made by as
    many processes as there are cores. The same arguments give the same file to the last byte.

    Args:
        source: gives crops, which become the pictures of the pairs.
        path: the file, as for `pack`.
        count: how many pairs.
        seed: of order, crops and blur.
        with_candidates: what `deconvolution.candidates` makes of a blurred picture comes with it.
        jobs: processes; 0: one for each core.
        advance: called after each pair.

    Raises:
        UserError: as `pack` and the source.
    """
    try:
        pack(_Drawn(source, count, seed, with_candidates), path, advance, process_pool(jobs))
    except concurrent.futures.BrokenExecutor:
        raise OSError("a process that makes the pairs has died; was memory short?") from None


class _Drawn:
    """The examples at the first positions of a run, as `pack` wants them."""

    def __init__(self, source: Source, count: int, seed: int, with_candidates: bool):
        self._source, self._count, self._seed = source, count, seed
        self._with_candidates = with_candidates
        self.notes = source.notes

    @property
    def names(self) -> list[str]:
        return [f"{self._source.names[self._index(i)]} {i}" for i in range(self._count)]

    def __len__(self) -> int:
        return self._count

    def _index(self, position: int) -> int:
        count = len(self._source)
        return int(order(self._seed, position // count, count)[position % count])

    def read(self, position: int) -> tuple[np.ndarray, ...]:
        rng = np.random.default_rng([self._seed, position])
        blurred, sharp = self._source.example(self._index(position), rng)
        found = candidates(np.float32(blurred) / 255).pictures if self._with_candidates else []
        return (blurred, *(np.rint(255 * picture).astype(np.uint8) for picture in found), sharp)


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

    See `examples.Source`. The checksums of pairs are compared by `verify` alone. `pairs` are all of
    them, uint8 [pictures, height, width, 3]: sharp, blurred, and what comes with it.

    Raises:
        UserError: if the file is not a whole store, its pairs differ in the number of pictures, or
            pictures are smaller than the crop.
    """

    def __init__(self, path, crop_size: int):
        with _opened(path) as (archive, content), open(path, "rb") as file:
            members = [archive.getinfo(_member(index)) for index in range(len(content["names"]))]
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self.pairs = [_array(mapped, member) for member in members]
        self.crop_size = crop_size
        self.names, self.notes = content["names"], content["notes"]
        self.content_marks = [str(member.CRC) for member in members]
        counts = {len(pair) for pair in self.pairs}
        if len(counts) != 1:
            raise UserError(f"{path}: all pairs must have the same number of pictures")
        (self.pictures,) = counts
        problems = [
            size_problem(f"{path}: pair {name}", pair.shape[1:3], crop_size)
            for name, pair in zip(self.names, self.pairs, strict=True)
        ]
        refuse([problem for problem in problems if problem])

    def __len__(self) -> int:
        return len(self.names)

    def example(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(blurred, sharp) crop, both uint8 [crop_size, crop_size, 3], read-only."""
        sharp, *blurred = self.pairs[index]
        return random_crop(rng, (*blurred, sharp), self.crop_size)


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
        or (dtype, pair.ndim, shape[-1]) != (np.uint8, 4, 3)
        or shape[0] < 2
    ):
        raise UserError(f"{member.filename} is no pair")
    return pair
