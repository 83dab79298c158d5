"""Checks of training data, before the first step, and how they are refused."""

import os

import numpy as np

from srn_tf import UserError, options
from srn_tf.images.read import read_kind


def path_problem(path: str) -> str:
    """Why a data list cannot hold a path; empty if it can."""
    text = os.fsencode(path).decode("utf-8", "replace")
    rules = [
        (len(text.split()) == 1, "with spaces"),
        (not text.startswith("#"), "that begins with #, as comments do"),
        ("\ufffd" not in text, "that is not UTF-8"),
    ]
    return next((f"{path}: a list cannot hold a path {what}" for ok, what in rules if not ok), "")


def check_headers(groups, crop_size: int) -> list[str]:
    """Notes on pictures for training, from their headers.

    Args:
        groups: (text before a problem, paths of pictures that must be of one size).
        crop_size: what no side may be smaller than.

    Raises:
        UserError: if a picture cannot be read or is smaller than the crop, or a group has pictures
            of different size: how many problems, and the first ten.
    """
    problems, one_channel = [], []
    for where, paths in groups:
        found, sizes = [], set()
        for path in paths:
            try:
                kind = read_kind(path)
            except (UserError, OSError) as error:
                found.append(str(error))
                continue
            found += filter(None, [size_problem(path, kind.shape, crop_size)])
            sizes.add(kind.shape)
            one_channel += [path] * (kind.channels < 3)
        if not found and len(sizes) > 1:
            found = [f"{' and '.join(map(str, paths))} differ in size"]
        problems += [where + problem for problem in found]
    refuse(problems)
    if not one_channel:
        return []
    return [
        f"pictures of one channel: {len(one_channel)}, as gray RGB; the first: {one_channel[0]}"
    ]


def size_problem(what, size: tuple[int, int], crop_size: int) -> str:
    """Why a picture of (height, width) cannot be cropped; empty if it can."""
    height, width = size
    too_small = min(size) < crop_size
    return f"{what}: {width}x{height} is smaller than the crop of {crop_size}" if too_small else ""


def refuse(problems: list[str]) -> None:
    """Raises UserError if there are problems: how many, and the first ten."""
    options.refuse(f"the data cannot be used; problems: {len(problems)}", problems)


def refuse_if_small(what, picture: np.ndarray, crop_size: int) -> None:
    """Raises UserError for a picture smaller than the crop: it may have changed since its header
    was looked at."""
    if problem := size_problem(what, picture.shape[:2], crop_size):
        raise UserError(problem)
