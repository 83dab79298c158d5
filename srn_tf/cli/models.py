"""srn-models: the table of models: size and work counted from the layers, published results."""

import json

from absl import flags

from srn_tf.cli.command import Flags, run, start_tensorflow
from srn_tf.networks.configs import MODELS

SUMMARY = """prints a table of the models: parameters, work, and published results on GOPRO.

    srn-models
    srn-models --json
GMACs are billions of multiplications for one picture of the model's channels; a one-channel model
does them three times for a colour picture.
"""


PAPER = "Tao et al. 2018"
# What each model is, and where it has one, its published PSNR (dB) and SSIM on GOPRO's test set.
ABOUT = {
    "lstm": ("the paper's network, trained on luma", 30.26, 0.9342, PAPER),
    "gray": ("without ConvLSTM, on luma; released by its authors", None, None, ""),
    "color": ("without ConvLSTM, on colour; released by its authors", None, None, ""),
    "color_lstm": ("the paper's network on colour", None, None, ""),
    "color_lstm_residual": ("and the blurred picture added to its output", None, None, ""),
    "fast": ("squares of 4x4 pixels as channels, few multiplications", None, None, ""),
    "fast_small": ("the same, a quarter of the multiplications", None, None, ""),
    "chooser": ("weighs a picture and deconvolutions of it", None, None, ""),
    "ss": ("one scale", 28.40, 0.9045, PAPER),
    "sc": ("three scales, each with weights of its own", 29.05, 0.9166, PAPER),
    "wo_r": ("three scales, no recurrence", 29.26, 0.9197, PAPER),
    "rnn": ("plain RNN in place of the ConvLSTM", 29.35, 0.9210, PAPER),
    "sr_flat": ("no encoder-decoder, plain convolutions", 27.53, 0.8886, PAPER),
    "sr_rb": ("no encoder-decoder, ResBlocks", 28.11, 0.8991, PAPER),
    "sr_ed": ("encoder-decoder, plain convolutions", 29.06, 0.9170, PAPER),
    "sr_edrb1": ("one ResBlock a stage", 28.60, 0.9082, PAPER),
    "sr_edrb2": ("two ResBlocks a stage", 29.32, 0.9204, PAPER),
    "sr_edrb3": ("three ResBlocks a stage", 29.98, 0.9254, PAPER),
    "mscnn": ("multi-scale CNN, Nah et al. 2017", 29.08, 0.9135, f"{PAPER}, as Nah"),
    "pss_nsc": ("selective sharing, nested skips, Gao et al. 2019", None, None, ""),
}


def model_table() -> list[dict]:
    """A row for each model: name, channels, parameters, gmacs_256x256, gmacs_1280x720, what it is,
    and its published gopro_psnr (dB) and gopro_ssim with their source, None where there are none.

    The work is for one picture of the model's channels: a one-channel model does it three times for
    a colour picture.
    """
    from srn_tf.networks.create import create_model
    from srn_tf.networks.macs import macs_a_pixel_of
    from srn_tf.progress import progress

    rows = []
    with progress("counting", len(MODELS)) as advance:
        for name, config in MODELS.items():
            model = create_model(name)
            parameters = model.count_params()
            macs = macs_a_pixel_of(model)
            about, psnr, ssim, source = ABOUT[name]
            rows.append(
                {
                    "name": name,
                    "channels": config.channels,
                    "parameters": parameters,
                    "gmacs_256x256": round(macs * 256**2 / 1e9, 1),
                    "gmacs_1280x720": round(macs * 1280 * 720 / 1e9),
                    "about": about,
                    "gopro_psnr": psnr,
                    "gopro_ssim": ssim,
                    "source": source,
                }
            )
            advance(name)
    return rows


_HEADINGS = (
    *("model", "channels", "parameters", "GMACs 256x256", "GMACs 1280x720", "what it is"),
    *("PSNR", "SSIM", "published by"),
)


_WIDTH = 170  # characters, of the whole table


def as_text(rows: list[dict]) -> list[tuple[str, ...]]:
    """The table as rows of words, the headings first."""

    def number(value, form):
        return "" if value is None else format(value, form)

    return [_HEADINGS] + [
        (
            row["name"],
            str(row["channels"]),
            f"{row['parameters']:,}",
            f"{row['gmacs_256x256']:.1f}",
            f"{row['gmacs_1280x720']:,}",
            row["about"],
            number(row["gopro_psnr"], ".2f"),
            number(row["gopro_ssim"], ".4f"),
            row["source"],
        )
        for row in rows
    ]


def as_markdown(rows: list[dict]) -> str:
    """The table as the README has it."""
    headings, *body = as_text(rows)
    lines = [headings, ["---"] * len(headings), *([f"`{name}`", *rest] for name, *rest in body)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def print_models(rows: list[dict]) -> None:
    """Prints the table; where it is too wide for the terminal, as two, numbers and words."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH  # a log is not folded to 80 columns
    words = ("what it is", "published by")
    numbers = [heading for heading in _HEADINGS if heading not in words]
    parts = [_HEADINGS] if console.width >= _WIDTH else [numbers, ["model", *words]]
    headings, *body = as_text(rows)
    for part in parts:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), collapse_padding=True, pad_edge=False)
        for heading in part:
            left = heading in ("model", *words)
            longest = max(len(row[headings.index(heading)]) for row in body)
            whole = None if heading in words else longest  # headings fold first
            table.add_column(heading, justify="left" if left else "right", min_width=whole)
        for row in body:
            cells = dict(zip(headings, row, strict=True))
            table.add_row(*(cells[heading] for heading in part))
        console.print(table)


def define_flags() -> flags.FlagValues:
    define = Flags()
    define.switch("json", "print JSON, for programs.")
    define.switch("markdown", "print the table as the documentation has it.")
    return define.values


def execute(values: flags.FlagValues) -> int:
    start_tensorflow(gpu="-1", threads=0)
    rows = model_table()
    if values.json:
        print(json.dumps(rows, indent=2))
    elif values.markdown:
        print(as_markdown(rows))
    else:
        print_models(rows)
    return 0


def main(argv=None) -> int:
    """The command; gives its exit status."""
    return run("srn-models", SUMMARY, define_flags(), execute, argv)
