"""srn-models: prints the table of models."""

import json

from absl import flags

from srn_tf.cli.command import run, start_tensorflow

SUMMARY = """prints a table of the models: parameters, work, and published results on GOPRO.

    srn-models
    srn-models --json
GMACs are billions of multiplications for one picture of the model's channels; a one-channel model
does them three times for a colour picture.
"""


def define_flags() -> flags.FlagValues:
    values = flags.FlagValues()
    flags.DEFINE_boolean("json", False, "print JSON, for programs.", flag_values=values)
    flags.DEFINE_boolean("markdown", False, "print the README's table.", flag_values=values)
    return values


def execute(values: flags.FlagValues) -> int:
    start_tensorflow(gpu="-1", threads=0)
    from rich.console import Console
    from rich.table import Table

    from srn_tf.model_table import as_markdown, as_text, model_table

    rows = model_table()
    if values.json:
        print(json.dumps(rows, indent=2))
    elif values.markdown:
        print(as_markdown(rows))
    else:
        headings, *body = as_text(rows)
        table = Table()
        for heading in headings:
            words = heading in ("model", "what it is", "published by")
            table.add_column(heading, justify="left" if words else "right")
        for row in body:
            table.add_row(*row)
        Console().print(table)
    return 0


def main(argv=None) -> int:
    """The command; gives its exit status."""
    return run("srn-models", SUMMARY, define_flags(), execute, argv)
