"""What is kept of a benchmark: a table, and a JSON file with the machine, versions and settings."""

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import subprocess
import sys

from lib.timing import cores
from srn_tf.atomic import atomic_file

RESULTS = pathlib.Path(__file__).resolve().parent.parent / "results"
# Packages whose versions tell what was measured.
_PACKAGES = (
    *("srn_tf", "tensorflow", "keras", "jax", "jaxlib", "torch", "openvino"),
    *("onnxruntime", "ai-edge-litert", "numpy", "opencv-python-headless"),
    *("jax-cuda12-plugin", "jax-cuda13-plugin", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13"),
)
# Environment variables that change what is measured.
_SETTINGS = re.compile(
    r"(XLA|ONEDNN|DNNL|OMP|MKL|KMP|MALLOC|JAX|TORCHINDUCTOR)_|TF_(?!CLI_|CPP_)|LD_PRELOAD"
    r"|GLIBC_TUNABLES|CUDA_VISIBLE_DEVICES|NVIDIA_TF32_OVERRIDE"
)
# What a row of timings shows, for `table`.
SECONDS = {"median s": "{median:.4g}", "min": "{min:.4g}", "max": "{max:.4g}"}


def _printed(*command: str) -> str:
    """What a program printed; empty where there is no such program, or it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def commit() -> str:
    """The state of what is measured, as git names it; results do not count."""
    git = ("git", "-C", str(RESULTS))
    changed = _printed(*git, "status", "--porcelain", "--", ":/srn_tf", ":/benchmarks/*.py")
    return _printed(*git, "describe", "--always", "--abbrev=12") + ("-dirty" if changed else "")


def machine() -> dict:
    """What was measured on."""
    processor = platform.processor() or platform.machine()
    flags: set[str] = set()
    if (path := pathlib.Path("/proc/cpuinfo")).is_file():
        fields = dict(
            (part.strip() for part in line.split(":", 1))
            for line in path.read_text().split("\n\n")[0].splitlines()
        )
        processor, flags = fields.get("model name", processor), set(fields.get("flags", "").split())
    return {
        "processor": processor,
        "cores": cores(),
        "extensions": sorted(flags & {"avx2", "avx512f", "avx512_bf16", "amx_bf16"}),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "gpus": _printed(
            *("nvidia-smi", "--format=csv,noheader"),
            "--query-gpu=name,memory.total,driver_version",
        ).splitlines(),
    }


def write_results(
    name: str,
    options: argparse.Namespace,
    rows: list[dict],
    complete: bool = True,
    settings: dict[str, str] | None = None,
    **more,
) -> None:
    """Writes the rows of a benchmark to `--output`, by default results/<name>.json.

    Called after each part of a long run, not `complete`, so that what was measured is kept.
    `settings` are variables of the environment, beside those of this process.
    """
    own_settings = {name: os.environ[name] for name in filter(_SETTINGS.match, os.environ)}
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    command = ["python", f"benchmarks/{pathlib.Path(sys.argv[0]).name}", *sys.argv[1:]]
    results = {
        "benchmark": name,
        "command": " ".join(command),
        "complete": complete,
        "commit": commit(),
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "settings": own_settings | (settings or {}),
        "versions": {"python": platform.python_version(), **versions},
        **more,
        "rows": rows,
    }
    path = options.output or RESULTS / f"{name}.json"
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(results, indent=1) + "\n")


def arguments(doc: str) -> argparse.ArgumentParser:
    """A parser of what all benchmarks take."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output", type=pathlib.Path, help="JSON file to write (default: benchmarks/results/)"
    )
    return parser


def table(rows: list[dict], columns: dict[str, str]) -> str:
    """A table in Markdown with aligned columns.

    Args:
        rows: of values by name.
        columns: heading -> what stands below it, as a format of a row's values; empty where the
            row lacks one of them.
    """

    def cell(form, row) -> str:
        try:
            return form.format_map(row)
        except KeyError:
            return ""

    lines = [list(columns), *([cell(form, row) for form in columns.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines = [[text.ljust(n) for text, n in zip(line, widths, strict=True)] for line in lines]
    lines.insert(1, ["-" * n for n in widths])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
