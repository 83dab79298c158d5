"""Writes the figures of `results/` into docs/benchmarks.md, between the marks <!-- network --> and
<!-- /network -->; with --check it only says whether they are those.

Each table is followed by the command, the machine, the versions and the date of its file. What
follows a "-" in the name of a file tells it from others of the same benchmark. A file that is not
complete is refused; a median of fewer than three calls says of how many.
"""

import argparse
import json
import pathlib
import re
import sys

from lib.results import RESULTS, table
from lib.timing import ROUNDS

from srn_tf.atomic import atomic_file

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
# Packages that matter for each benchmark, besides Python.
_VERSIONS = {
    "network": ("tensorflow", "keras", "torch", "openvino"),
    "training": ("tensorflow", "keras", "torch"),
    "export": ("tensorflow", "keras", "onnxruntime", "openvino", "ai-edge-litert"),
    "pipeline": ("tensorflow", "opencv-python-headless"),
    "folder": ("tensorflow", "keras"),
    "scaling": ("tensorflow", "keras"),
    "service": ("tensorflow", "keras"),
    "gpu": ("jax", "torch", "keras"),
}


_MEDIAN = "{median:.3g} ({spread})"
_WORK = f"{_MEDIAN} s, {{of_matmul:.0%}}"


def network(results) -> str:
    down = "{model}, {width}x{height}, {batch}"
    return beside_matmuls(results, "network, picture, batch", down)


def training(results) -> str:
    down = "{model}, {batch} crops of {crop_size}x{crop_size}"
    return beside_matmuls(results, "a step of", down)


def beside_matmuls(results, corner: str, down: str) -> str:
    """A table of alternatives, and what the matmuls reached that they are compared with."""
    rates: dict[str, list] = {}
    for row in results["rows"]:
        if row["what"].startswith("matmul") and row["of_matmul"] == 1:
            rates.setdefault(row["precision"], []).append(row["tflops"])
    ceilings = []
    for precision, reached in rates.items():
        ends = dict.fromkeys(f"{rate:.2f}" for rate in (min(reached), max(reached)))
        ceilings.append(f"{' to '.join(ends)} TFLOP/s in {precision}")
    shown = pivot(results["rows"], corner, down, "{what}, {precision}", _WORK)
    side = results["matmul"]
    return f"{shown}\n\n100% is a matmul of {side}x{side}: {', '.join(ceilings)}."


def export(results) -> str:
    corner = "{model}, {width}x{height}, seconds".format_map(results)
    return pivot(results["rows"], corner, "{what}", "{precision}", _MEDIAN)


def scaling(results) -> str:
    kernel = "{kernel_size}x{kernel_size}, ".format_map(results) if "kernel_size" in results else ""
    corner = f"{results['model']}, {kernel}{results['precision']}"
    cell = f"{_MEDIAN} s, {{peak_gb:.1f}} GB"
    return pivot(results["rows"], corner, "{width}x{height}", "{what}", cell)


def pipeline(results) -> str:
    rates = {"source": "{what}", "pairs a second": "{median} ({min} to {max})"}
    return table(results["rows"], rates | {"of decoding alone": "{of_decoding:.0%}"})


def folder(results) -> str:
    corner = f"PNGs of 1280x720, {results['precision']}"
    columns = {corner: "{what}", "seconds": _MEDIAN, "pictures/s": "{pictures_per_second:.3g}"}
    return table(results["rows"], columns)


def service(results) -> str:
    return table(results["rows"], {"": "{what}", "seconds": _MEDIAN})


def gpu(results) -> str:
    columns = {results["model"]: "{what}, {precision}", "size, batch": "{size}"}
    columns |= {"seconds": _MEDIAN, "pictures/s": "{pictures_per_second}"}
    columns |= {"TFLOP/s": "{tflops:.1f}", "of matmul": "{of_matmul:.0%}", "": "{note}"}
    parity = "{parity:.0e} of the largest output, and the losses of training within "
    parity = (parity + "{parity_of_losses:.0e}").format_map(results)
    return f"{table(results['rows'], columns)}\n\nIn float32 within {parity} of the authors'."


def pivot(rows, corner: str, down: str, across: str, cell: str) -> str:
    """A table of a value by two others, all given as formats of a row; matmuls left out.

    Where a row has a `ratio`, and it is not of ours, it stands with the value.
    """
    lines: dict[str, dict] = {}
    columns = {corner: "{down}"}
    for row in rows:
        if not row["what"].startswith("matmul"):
            line, column = down.format_map(row), across.format_map(row)
            text = cell.format_map(row)
            if "ratio" in row and not row["what"].startswith("srn_tf"):
                text += ", {ratio:.2f} of ours".format_map(row)
            lines.setdefault(line, {"down": line})[column] = text
            columns[column] = f"{{{column}}}"
    return table(list(lines.values()), columns)


def block(name: str, results) -> str:
    """The table of a file and where it comes from."""
    if not results.get("complete", True):
        sys.exit(f"readme.py: {name}: only a part of what was to be measured")
    for row in results["rows"]:
        calls = row.get("calls", ROUNDS)
        row["spread"] = "{min:.3g} to {max:.3g}".format_map(row)
        if calls < ROUNDS:
            row["spread"] = "one call" if calls == 1 else f"{calls} calls"
    kind = name.split("-")[0]
    machine, versions = results["machine"], results["versions"]
    what = results.get("device") or "{cores} cores of {processor}".format(**machine)
    if "amx_bf16" in machine["extensions"] and "device" not in results:
        what += " with AMX"
    used = [f"{package} {versions[package]}" for package in _VERSIONS[kind] if package in versions]
    source = f"`{results['command']}`, {what}, {', '.join(used)}, {results['date']}."
    return f"{globals()[kind](results)}\n\n{source}"


def with_figures(text: str) -> str:
    """The page with the figures of all files there are; a mark without a file stays as it is."""
    for path in sorted(RESULTS.glob("*.json")):
        name = path.stem
        pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        new = block(name, json.loads(path.read_text()))
        text, count = re.subn(
            pattern, lambda marks, new=new: f"{marks[1]}{new}\n{marks[2]}", text, flags=re.S
        )
        if count != 1:
            sys.exit(f"readme.py: {PAGE.name} has {count} places marked {name}; it must have one")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if stale")
    options = parser.parse_args()
    text = PAGE.read_text()
    new = with_figures(text)
    if options.check and new != text:
        sys.exit("readme.py: the figures of docs/benchmarks.md are not those of benchmarks/results")
    if not options.check:
        with atomic_file(PAGE) as temporary:
            temporary.write_text(new)


if __name__ == "__main__":
    main()
