"""srn-data: makes, finds and packs training pairs."""

import dataclasses
import os
import sys

from absl import flags

from srn_tf import UserError
from srn_tf.cli.command import FAILURE, USAGE_ERROR, Flags, require, run, say
from srn_tf.data.config import DataConfig, FrameRules

PROGRAM = "srn-data"
SUMMARY = """prepares training data. What it does is its first word:

    srn-data list        finds the pairs in a folder and writes a data list
    srn-data pack        writes the pairs of a data list into one file, for training at full speed
    srn-data verify      reads such a file and compares its checksums
    srn-data blur        makes pairs from sharp photographs
    srn-data from-video  makes pairs from videos of a high frame rate
    srn-data from-frames makes pairs from folders of their frames
`srn-data pack --help` tells more, and so on.
"""

_LIST = """finds the pairs in a folder, whatever usual layout it has, and writes a data list.

    srn-data list --root GOPRO/train --output gopro.txt
It knows GOPRO (sharp, blur, blur_gamma), input and target, REDS (train_sharp, train_blur, ...) and
RealBlur (gt, blur). It tells which files have no partner and which pairs differ in size; both are
left out.
"""

_PACK = """writes the pairs of a data list, decoded, into one file.

    srn-data pack --datalist data_lists/gopro_train.txt --data_root GOPRO/train --output gopro.npz
    srn-train --model color --packed gopro.npz --run_dir runs/color
A crop is then read without the rest of its picture. The file takes 6 bytes a pixel: 11.6 GB for
GOPRO's 2103 pairs.
"""

_VERIFY = """reads a packed file and compares its checksums.

    srn-data verify --packed gopro.npz
"""

_FROM = """makes pairs from {what} of a high frame rate, as GOPRO's were made: the mean of an
odd number of consecutive frames is the blurred picture, the middle one the sharp picture.

    srn-data {command} --input_path {example} --output_path pairs
    srn-train --model color --datalist pairs/pairs.txt --data_root pairs --run_dir runs/color
Frames that hardly move, and those around a scene cut, are left out and counted.
"""

_BLUR = """makes pairs from sharp photographs: each is blurred as by a hand that shakes.

    srn-data blur --input_path photos --output_path pairs --extent 8
    srn-test --input_path pairs/blur --sharp_path pairs/sharp --output_path restored
They are for scoring: srn-train --sharp_path blurs photographs anew each time it sees them. Where
that is too slow, as beside a GPU, --pack makes a store of many smaller pairs on all cores:
    srn-data blur --input_path photos --pack pairs.npz --count 4000 --max_blur 24 \\
        --target centroid --camera_noise 1 --highlights 0.33 --optics 0.25 --jpeg 75
    srn-train --model fast --packed pairs.npz --run_dir runs/fast
"""


def _list_flags() -> flags.FlagValues:
    define = Flags()
    define.string("root", "folder to look in; paths in the list start from it.")
    define.string("output", "data list to write.")
    define.switch("gamma", "take GOPRO's blur_gamma (the paper: blur).")
    return define.values


def _list(values: flags.FlagValues) -> int:
    require(values, "root", "output")
    if os.path.exists(values.output):
        raise UserError(f"{values.output}: exists already; choose another or remove it first")
    from srn_tf.atomic import atomic_file
    from srn_tf.data.layouts import find_pairs
    from srn_tf.images.files import for_list

    found = find_pairs(values.root, values.gamma)
    for path in found.alone:
        say(f"{path}: no partner", sys.stderr)
    for sharp, blurred in found.of_different_size:
        say(f"{sharp} and {blurred}: differ in size", sys.stderr)
    left_out = f"without partner: {len(found.alone)}, of different size: "
    left_out += str(len(found.of_different_size))
    if not found.pairs:
        raise UserError(f"{values.root}: no pairs; {left_out}")
    with atomic_file(values.output) as temporary:
        lines = "".join(for_list(f"{sharp} {blurred}\n") for sharp, blurred in found.pairs)
        temporary.write_text(lines, encoding="utf-8")
    say(f"pairs: {len(found.pairs)}, in {values.output}; {left_out}")
    return 0


def _pack_flags() -> flags.FlagValues:
    define = Flags()
    define.string("datalist", "file of pairs: `sharp blurred` a line.")
    define.string("data_root", "folder its paths start from; default: this one.")
    define.string("output", "file to write, ending in .npz.")
    return define.values


def _pack(values: flags.FlagValues) -> int:
    require(values, "datalist", "output")
    from srn_tf.data.packed import pack
    from srn_tf.data.pair_list import PairSource
    from srn_tf.progress import progress

    source = PairSource(values.datalist, values.data_root or ".", crop_size=1)
    for note in source.notes:
        say(note)
    with progress("packing", len(source)) as advance:
        pack(source, values.output, advance)
    size = os.path.getsize(values.output) / 1e9
    say(f"pairs: {len(source)}, in {values.output}, {size:.3g} GB")
    return 0


def _verify_flags() -> flags.FlagValues:
    define = Flags()
    define.string("packed", "file that srn-data pack wrote.")
    return define.values


def _verify(values: flags.FlagValues) -> int:
    require(values, "packed")
    from srn_tf.data.packed import PackedSource, verify
    from srn_tf.progress import progress

    with progress("verifying", len(PackedSource(values.packed, crop_size=1))) as advance:
        pairs = verify(values.packed, advance)
    say(f"{values.packed}: pairs: {pairs}, all as they were written")
    return 0


def _from_flags() -> flags.FlagValues:
    define = Flags({field.name: field.default for field in dataclasses.fields(FrameRules)})
    define.string("input_path", "video or folder of frames, or a folder of such.")
    define.string("output_path", "folder to write, which must not exist.")
    define.integer("min_frames", "fewest frames of a pair, odd.")
    define.integer("max_frames", "most frames of a pair, odd.")
    define.switch("linear_light", "average light (gamma 2.2) instead of values.")
    define.real("min_motion", "mean motion under which frames are left out, in pixels.", low=0)
    define.real("max_change", "change above which a scene ends, in grey levels of 255.", low=0)
    define.integer("seed", "of the numbers of frames.", low=0)
    return define.values


def _from(values: flags.FlagValues, kind: str) -> int:
    require(values, "input_path", "output_path")
    from srn_tf.data import frames
    from srn_tf.progress import progress

    names = [field.name for field in dataclasses.fields(FrameRules)]
    rules = FrameRules(**{name: values[name].value for name in names})
    sequences = getattr(frames, kind)(values.input_path)
    with progress("averaging", sum(sequence.length for sequence in sequences)) as advance:
        counts = frames.write_pairs(sequences, values.output_path, rules, advance)
    for sequence, count in zip(sequences, counts, strict=True):
        say(
            f"{sequence.name}: frames: {count.frames}, pairs: {count.pairs}, left out for little "
            f"motion: {count.static}, at scene cuts: {count.scene_cuts}"
        )
        if sequence.damage:
            say(f"{PROGRAM}: {sequence.path}: damaged: {sequence.damage}", sys.stderr)
    list_file = os.path.join(values.output_path, frames.LIST)
    say(f"pairs: {sum(count.pairs for count in counts)}, in {list_file}")
    return FAILURE if any(sequence.damage for sequence in sequences) else 0


def define_blur_flags() -> flags.FlagValues:
    define = Flags()
    define.string("input_path", "folder of sharp photographs.")
    define.string("output_path", "folder to write, which must not exist.")
    define.real("extent", "largest distance on the camera's path, in pixels.", 8.0, 0, 256)
    define.integer("seed", "of the blur.", 0, low=0)
    define.string("pack", "store (.npz) to write for training, instead of a folder.")
    define.integer("count", "pairs of the store.", 1000, low=1)
    define.integer("window", "side of the store's pictures, in pixels.", 384, low=16)
    define.switch("candidates", "with deconvolutions, for srn-train --model chooser; with --pack.")
    define.integer("jobs", "processes that make the store; 0: one a core.", 0, 0, 1024)
    for name, text in _OF_THE_STORE.items():
        define.of_field(DataConfig, name, f"{text}; with --pack.")
    return define.values


# Fields of a DataConfig.
_OF_THE_STORE = {
    "max_blur": "largest extent, in pixels",
    "min_blur": "smallest extent, in pixels",
    "keep_sharp": "part of the pairs without blur, such as 0.1",
    "shallow": "part of the pairs with parts out of focus in both pictures, which are to stay so",
    "target": "where the sharp picture lies on the path: middle (instant) or centroid",
    "light": "what is averaged: linear (light), stored (values) or mixed",
    "moving_part": "part of the pairs with something that moves on its own",
    "camera_noise": "factor on a sensor's noise, such as 1",
    "highlights": "part of the pairs with lights brighter than white",
    "optics": "part of the pairs out of focus, and as many sharpened; up to 0.5",
    "jpeg": "lowest JPEG quality, in half of the pairs; 0: off",
}


def _blur(values: flags.FlagValues) -> int:
    require(values, "input_path")
    if values.pack:
        return _pack_blur(values)
    require(values, "output_path")
    for name in ("count", "window", "candidates", "jobs", *_OF_THE_STORE):
        if values[name].present:
            raise UserError(f"--{name} is for a store: it needs --pack")
    from srn_tf.data import pair_list, photographs
    from srn_tf.images.files import find_images
    from srn_tf.progress import progress

    photos = find_images(values.input_path)
    with progress("blurring", len(photos)) as advance:
        photographs.write_pairs(photos, values.output_path, values.extent, values.seed, advance)
    say(f"pairs: {len(photos)}, in {os.path.join(values.output_path, pair_list.LIST)}")
    return 0


def _pack_blur(values: flags.FlagValues) -> int:
    for name in ("output_path", "extent"):
        if values[name].present:
            raise UserError(f"--{name} is for a folder of pairs: it cannot go with --pack")
    given = {name: values[name].value for name in _OF_THE_STORE}
    config = DataConfig(sharp_path=values.input_path, crop_size=values.window, **given)
    from srn_tf.data.packed import pack_drawn
    from srn_tf.data.sources import create_source
    from srn_tf.progress import progress

    source = create_source(config)
    with progress("blurring", values.count) as advance:
        pack_drawn(
            source,
            values.pack,
            values.count,
            values.seed,
            with_candidates=values.candidates,
            jobs=values.jobs,
            advance=advance,
        )
    print(f"pairs: {values.count}, in {values.pack}")
    return 0


_COMMANDS = {
    "list": (_LIST, _list_flags, _list),
    "pack": (_PACK, _pack_flags, _pack),
    "verify": (_VERIFY, _verify_flags, _verify),
    "blur": (_BLUR, define_blur_flags, _blur),
    "from-video": (
        _FROM.format(what="videos", command="from-video", example="video.mp4"),
        _from_flags,
        lambda values: _from(values, "videos"),
    ),
    "from-frames": (
        _FROM.format(what="the frames", command="from-frames", example="frames"),
        _from_flags,
        lambda values: _from(values, "folders_of_frames"),
    ),
}


def main(argv=None) -> int:
    """The command; gives its exit status."""
    name, *rest = [*(sys.argv[1:] if argv is None else argv), ""]
    if name in _COMMANDS:
        summary, define_flags, execute = _COMMANDS[name]
        return run(f"{PROGRAM} {name}", summary, define_flags(), execute, rest[:-1])
    if name.startswith("-"):
        return run(PROGRAM, SUMMARY, flags.FlagValues(), lambda _: 0, [name, *rest[:-1]])
    words = ", ".join(_COMMANDS)
    say(f"{PROGRAM}: the first word must be one of {words}, not {name!r}", sys.stderr)
    return USAGE_ERROR
