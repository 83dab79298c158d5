"""Damages pictures and kills runs, from a seed; counts what was tried, lost and unclear.

Lost: a source or a result that changed or is torn, a picture of which nothing was heard, a killed
run that does not come to what one that was left alone came to. Unclear: an error that is a mistake
of this package's own, or more than a line that names the file; a status that is not 0 where all is
well.
"""

import argparse
import io
import json
import logging
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import skimage.data
from lib.timing import without_gpu
from PIL import Image

from srn_tf import UserError, create_model
from srn_tf.checkpoints import archive
from srn_tf.images.read import read_picture
from srn_tf.restoration.deblurrer import Deblurrer
from srn_tf.restoration.folder import restore_folder
from srn_tf.restoration.jobs import find_jobs

ROOT = pathlib.Path(__file__).parent.parent
NETWORK = {"kernel_size": 3, "widths": (4, 6, 8), "blocks": 1}
FORMATS = (".png", ".jpg", ".webp", ".bmp", ".tif")
STEPS = 40


def sound_pictures() -> list[tuple[str, bytes]]:
    """Ending and content of a small picture of each format, in colour and gray."""
    photo = skimage.data.astronaut()[:48, 100:164]
    found = []
    for pixels in (photo, photo[..., 0]):
        for ending in FORMATS:
            content = io.BytesIO()
            Image.fromarray(pixels).save(content, Image.registered_extensions()[ending])
            found.append((ending, content.getvalue()))
    return found


def damaged(content: bytes, rng: random.Random) -> bytes:
    """With some bytes changed, cut out, put in, or its end gone."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 3, 20))):
        # Half of the time near the beginning, where all is said that pixels need.
        place = rng.randrange(len(data) if rng.random() < 0.5 else min(len(data), 200))
        kind = rng.randrange(5)
        if kind < 2:
            data[place] = rng.randrange(256)
        elif kind == 2:
            del data[place : place + rng.randrange(1, 16)]
        elif kind == 3:
            data[place:place] = rng.randbytes(rng.randrange(1, 16))
        else:
            del data[place:]
        if not data:
            break
    return bytes(data)


class _Mistakes(logging.Handler):
    """The files of which something was logged as a mistake of this package's own."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


def damage_pictures(count: int, rng: random.Random, folder: pathlib.Path, checkpoint) -> dict:
    """Restores a folder of damaged pictures, each tenth of which is sound."""
    inputs, outputs, mistakes = folder / "in", folder / "out", _Mistakes()
    inputs.mkdir()
    sound, contents = sound_pictures(), {}
    for number in range(count):
        ending, content = rng.choice(sound)
        name = f"{number:05}{ending}"
        contents[name] = content if number % 10 == 0 else damaged(content, rng)
        (inputs / name).write_bytes(contents[name])
    logger = logging.getLogger("srn_tf")
    logger.addHandler(mistakes)
    # Changed sizes could ask for whole seconds a picture.
    summary = restore_folder(
        Deblurrer(checkpoint), find_jobs(str(inputs), outputs), outputs, max_megapixels=0.1
    )
    logger.removeHandler(mistakes)
    lost, unclear = [], list(mistakes.lines)
    for number, (name, content) in enumerate(contents.items()):
        lines = [line for line in summary.errors if name in line]
        restored, is_sound = (outputs / name).exists(), number % 10 == 0
        unchanged = (inputs / name).read_bytes() == content
        whole = _is_whole(outputs / name) if restored else not is_sound
        heard_of = restored != bool(lines)
        if not (unchanged and whole and heard_of):
            lost.append(name)
    unclear += [line for line in summary.errors if "\n" in line or str(inputs) not in line]
    return {"tried": count, "lost": lost, "unclear": unclear}


def _is_whole(path) -> bool:
    try:
        return not any("damaged" in note for note in read_picture(path).notes)
    except (UserError, OSError):
        return False


def _run(*words, kill_after: float | None = None) -> int:
    """Runs a script of this project, to its end or until it is killed; gives its status."""
    process = subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        return process.wait(kill_after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        return process.wait()


def kill(count: int, rng: random.Random, command, outcome, folder: pathlib.Path, again=()) -> dict:
    """Kills a command at random times, runs it again, and compares what it came to.

    Args:
        count: how often.
        rng: for the times.
        command: gives the words of the command from the folder of its results.
        outcome: of such a folder, anything that can be compared.
        folder: for all of them.
        again: further words of the second run.
    """
    begun = time.monotonic()
    status = _run(*command(folder / "alone"))
    seconds, expected = time.monotonic() - begun, outcome(folder / "alone")
    unclear = [f"alone: status {status}"] if status else []
    lost = []
    for number in range(count):
        results = folder / str(number)
        _run(*command(results), kill_after=rng.uniform(0.3, 1) * seconds)
        # What was being written has a hidden name, and is gone after the second run.
        seen = {n: value for n, value in outcome(results).items() if str(n)[0] != "."}
        torn = [name for name, value in seen.items() if value != expected.get(name)]
        if status := _run(*command(results), *again):
            unclear.append(f"kill {number}: status {status} when run again")
        if torn or outcome(results) != expected:
            lost.append(f"kill {number}: {', '.join(map(str, torn)) or 'another outcome'}")
    return {"tried": count, "lost": lost, "unclear": unclear}


def kill_folders(count: int, rng: random.Random, folder: pathlib.Path, checkpoint) -> dict:
    inputs = folder / "in"
    inputs.mkdir()
    noise = np.random.default_rng(rng.randrange(2**32))
    for number in range(60):
        pixels = noise.integers(0, 256, (160, 240, 3), np.uint8)
        Image.fromarray(pixels).save(inputs / f"{number}.png")

    def command(results):
        words = f"--input_path={inputs}", f"--output_path={results}", f"--checkpoint={checkpoint}"
        return "test.py", *words, "--gpu=-1"

    def outcome(results) -> dict:
        return {path.name: path.read_bytes() for path in results.glob("*.png")}

    return kill(count, rng, command, outcome, folder)


def kill_trainings(count: int, rng: random.Random, folder: pathlib.Path) -> dict:
    photos = folder / "photos"
    photos.mkdir()
    for number in range(3):
        photo = skimage.data.astronaut()[64 * number : 64 * number + 64, :96]
        Image.fromarray(photo).save(photos / f"{number}.png")

    def command(results):
        network = "--model=color_lstm_residual", "--kernel_size=1", "--blocks=1", "--crop_size=16"
        length = "--batch_size=2", f"--max_steps={STEPS}", "--save_every=5", "--log_every=1"
        paths = f"--sharp_path={photos}", f"--run_dir={results}"
        return "train.py", *network, *length, *paths, "--gpu=-1"

    def outcome(results) -> dict:
        """The loss of each step; a last line that is torn is of no step yet."""
        losses = {}
        metrics = results / "metrics.jsonl"
        for line in metrics.read_text().splitlines(keepends=True) if metrics.exists() else ():
            if line.endswith("\n"):
                row = json.loads(line)
                losses[row["step"]] = row["loss"]
        return losses

    return kill(count, rng, command, outcome, folder, again=("--resume",))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=100, help="damaged (default: 100)")
    parser.add_argument("--kills", type=int, default=3, help="of srn-test (default: 3)")
    parser.add_argument("--training_kills", type=int, default=3, help="of srn-train (default: 3)")
    parser.add_argument("--seed", type=int, default=0, help="of all of it (default: 0)")
    options = parser.parse_args()
    without_gpu()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        checkpoint = folder / "network.npz"
        archive.save(
            checkpoint, "color_lstm_residual", create_model("color_lstm_residual", **NETWORK)
        )
        campaigns = (
            ("damaged pictures", options.pictures, damage_pictures, [checkpoint]),
            ("kills of srn-test", options.kills, kill_folders, [checkpoint]),
            ("kills of srn-train", options.training_kills, kill_trainings, []),
        )
        for name, count, campaign, more in campaigns:
            if count > 0:
                place = folder / name.replace(" ", "_")
                place.mkdir()
                found = campaign(count, random.Random(f"{options.seed} {name}"), place, *more)
                lost, unclear = found["lost"], found["unclear"]
                print(f"{name}: tried {count}, lost {len(lost)}, unclear {len(unclear)}")
                for kind in ("lost", "unclear"):
                    for line in found[kind]:
                        print(f"  {kind}: {line}")


if __name__ == "__main__":
    main()
