"""Curves of training runs, from their metrics.jsonl, as one picture."""

import json
import pathlib

import numpy as np
from matplotlib.figure import Figure

from srn_tf import UserError
from srn_tf.atomic import atomic_file

# Name in metrics.jsonl, title, scale of the axis.
_PANELS = (
    ("loss", "loss", "log"),
    ("validation_psnr", "validation PSNR, dB", "linear"),
    ("validation_ssim", "validation SSIM", "linear"),
    ("gradient_norm", "norm of the gradients", "log"),
    ("lr", "learning rate", "log"),
    ("pairs_per_second", "pairs/s", "linear"),
)
_COLUMNS = {name for name, *_ in _PANELS}
_NOISY = ("loss", "gradient_norm", "pairs_per_second")
_POINTS = 200  # what noisy curves are averaged to


def plot_runs(folders, path) -> None:
    """Draws loss, validation scores, gradient norm, learning rate and speed over the steps.

    Losses, norms and speeds of long runs are means over equal stretches of steps.

    Args:
        folders: of the runs.
        path: picture to write, .png or another format of Matplotlib's; whole or not at all.

    Raises:
        UserError: if a folder has no metrics of a run, or the picture's format is unknown.
    """
    path = pathlib.Path(path)
    figure = Figure(figsize=(15, 8), layout="constrained")
    known = figure.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        raise UserError(f"{path}: the name must end in one of {', '.join(f'.{k}' for k in known)}")
    runs = {str(folder): _read_metrics(folder) for folder in folders}
    axes = figure.subplots(2, 3).flat
    for axis, (name, title, scale) in zip(axes, _PANELS, strict=True):
        for label, rows in runs.items():
            # Points of null are no points: JSON has no infinity.
            points = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
            steps, values = np.array(points, float).reshape(-1, 2).T
            if name in _NOISY:
                steps, values = _means(steps), _means(values)
            marker = "." if len(steps) < 30 else None
            # Dollars would begin a formula, and a name need not be text.
            label = label.replace("$", r"\$").encode(errors="replace").decode()
            axis.plot(steps, values, marker=marker, linewidth=1, label=label)
        axis.set(title=title, xlabel="step")
        if any(np.any(line.get_ydata() > 0) for line in axis.lines):
            axis.set_yscale(scale)
        axis.grid(alpha=0.3)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center")
    with atomic_file(path) as temporary:
        figure.savefig(temporary, dpi=100)


def _read_metrics(folder) -> list[dict]:
    path = pathlib.Path(folder) / "metrics.jsonl"
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise UserError(f"{path}: no metrics of a run ({error.strerror})") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            numbers = {name: row[name] and float(row[name]) for name in _COLUMNS & row.keys()}
            rows.append(numbers | {"step": int(row["step"])})
        except (ValueError, TypeError, KeyError, AttributeError):
            if number < len(lines):  # the last one may be being written
                raise UserError(f"{path}:{number}: not a line of metrics") from None
    if not rows:
        raise UserError(f"{path}: no step yet")
    return rows


def _means(values: np.ndarray) -> np.ndarray:
    """Means of equal stretches, no more than `_POINTS` of them."""
    stretches = np.array_split(values, min(_POINTS, max(1, len(values))))
    return np.array([stretch.mean() for stretch in stretches if len(stretch)])
