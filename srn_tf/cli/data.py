"""srn-data: makes, finds and packs training pairs."""

import os
import sys

from absl import flags

from srn_tf.cli.command import FAILURE, USAGE_ERROR, require, run
from srn_tf.options import LIGHTS, TARGETS

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
left out, and the exit status is 1.
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
They are for scoring. To train from, as on a GPU that would wait for blur to be made, --pack writes
a store of many smaller pairs, on all cores, with blur from --min_blur to --max_blur:
    srn-data blur --input_path photos --pack pairs.npz --count 4000 --max_blur 24 \\
        --target centroid --camera_noise 1 --highlights 0.33 --optics 0.25 --jpeg 75
    srn-train --model fast --packed pairs.npz --run_dir runs/fast
"""


def _string(values, name, text) -> None:
    flags.DEFINE_string(name, None, text, flag_values=values)


def _list_flags() -> flags.FlagValues:
    values = flags.FlagValues()
    _string(values, "root", "folder to look in; paths in the list start from it.")
    _string(values, "output", "data list to write.")
    flags.DEFINE_boolean(
        "gamma", False, "take GOPRO's blur_gamma (the paper: blur).", flag_values=values
    )
    return values


def _list(values: flags.FlagValues) -> int:
    require(values, "root", "output")
    if os.path.exists(values.output):
        raise ValueError(f"{values.output}: exists already; choose another or remove it first")
    from srn_tf.atomic import atomic_file
    from srn_tf.data.layouts import find_pairs

    found = find_pairs(values.root, values.gamma)
    for path in found.alone:
        print(f"{path}: no partner", file=sys.stderr)
    for sharp, blurred in found.of_different_size:
        print(f"{sharp} and {blurred}: differ in size", file=sys.stderr)
    left_out = f"without partner: {len(found.alone)}, of different size: "
    left_out += str(len(found.of_different_size))
    if not found.pairs:
        raise ValueError(f"{values.root}: no pairs; {left_out}")
    with atomic_file(values.output) as temporary:
        temporary.write_text("".join(f"{sharp} {blurred}\n" for sharp, blurred in found.pairs))
    print(f"pairs: {len(found.pairs)}, in {values.output}; {left_out}")
    return FAILURE if found.alone or found.of_different_size else 0


def _pack_flags() -> flags.FlagValues:
    values = flags.FlagValues()
    _string(values, "datalist", "file of pairs: `sharp blurred` a line.")
    _string(values, "data_root", "folder the paths of the data list start from; default: this one.")
    _string(values, "output", "file to write, ending in .npz.")
    return values


def _pack(values: flags.FlagValues) -> int:
    require(values, "datalist", "output")
    from srn_tf.data.packed import pack
    from srn_tf.data.pair_list import PairSource
    from srn_tf.progress import progress

    source = PairSource(values.datalist, values.data_root or ".", crop_size=1)
    for note in source.notes:
        print(note)
    with progress("packing", len(source)) as advance:
        pack(source, values.output, advance)
    size = os.path.getsize(values.output) / 1e9
    print(f"pairs: {len(source)}, in {values.output}, {size:.3g} GB")
    return 0


def _verify_flags() -> flags.FlagValues:
    values = flags.FlagValues()
    _string(values, "packed", "file that srn-data pack wrote.")
    return values


def _verify(values: flags.FlagValues) -> int:
    require(values, "packed")
    from srn_tf.data.packed import PackedSource, verify
    from srn_tf.progress import progress

    with progress("verifying", len(PackedSource(values.packed, crop_size=1))) as advance:
        pairs = verify(values.packed, advance)
    print(f"{values.packed}: pairs: {pairs}, all as they were written")
    return 0


def _from_flags() -> flags.FlagValues:
    values = flags.FlagValues()
    _string(values, "input_path", "video or folder of frames, or a folder of such.")
    _string(values, "output_path", "folder to write, which must not exist.")

    def define(kind, name, default, text, *bounds):
        getattr(flags, f"DEFINE_{kind}")(name, default, text, *bounds, flag_values=values)

    # The defaults are those of frames.Rules, which would bring NumPy along.
    define("integer", "min_frames", 7, "fewest frames of a pair, odd.")
    define("integer", "max_frames", 13, "most frames of a pair, odd.")
    define("boolean", "linear_light", False, "average light (the curve of sRGB), not values.")
    define("float", "min_motion", 1.0, "mean motion under which frames are left out, in pixels.", 0)
    define(
        "float", "max_change", 20.0, "change above which a scene ends, in grey levels of 255.", 0
    )
    define("integer", "seed", 0, "of the numbers of frames.", 0)
    return values


def _from(values: flags.FlagValues, kind: str) -> int:
    require(values, "input_path", "output_path")
    from srn_tf.data import frames
    from srn_tf.progress import progress

    names = ("min_frames", "max_frames", "linear_light", "min_motion", "max_change", "seed")
    rules = frames.Rules(**{name: values[name].value for name in names})
    sequences = getattr(frames, kind)(values.input_path)
    with progress("averaging", sum(sequence.length for sequence in sequences)) as advance:
        counts = frames.write_pairs(sequences, values.output_path, rules, advance)
    damaged = False
    for sequence, count in zip(sequences, counts, strict=True):
        print(
            f"{sequence.name}: frames: {count.frames}, pairs: {count.pairs}, left out for little "
            f"motion: {count.static}, at scene cuts: {count.scene_cuts}"
        )
        if count.frames < sequence.length:
            damaged = True
            print(
                f"{PROGRAM}: {sequence.path}: of {sequence.length} frames {count.frames} could be "
                "read",
                file=sys.stderr,
            )
    list_file = os.path.join(values.output_path, frames.LIST)
    print(f"pairs: {sum(count.pairs for count in counts)}, in {list_file}")
    return FAILURE if damaged else 0


def _blur_flags() -> flags.FlagValues:
    values = flags.FlagValues()
    _string(values, "input_path", "folder of sharp photographs.")
    _string(values, "output_path", "folder to write, which must not exist.")
    flags.DEFINE_float(
        "extent",
        8.0,
        "largest distance on the camera's path, in pixels.",
        lower_bound=0,
        upper_bound=256,
        flag_values=values,
    )
    flags.DEFINE_integer("seed", 0, "of the blur.", lower_bound=0, flag_values=values)
    _string(values, "pack", "store (.npz) to write for training, instead of a folder.")
    flags.DEFINE_integer("count", 1000, "pairs of the store.", lower_bound=1, flag_values=values)
    flags.DEFINE_integer(
        "window",
        384,
        "side of the store's pictures, in pixels.",
        lower_bound=16,
        flag_values=values,
    )
    flags.DEFINE_integer("jobs", 0, "processes; 0: one a core.", lower_bound=0, flag_values=values)

    def real(name, default, text):
        flags.DEFINE_float(name, default, text, lower_bound=0, flag_values=values)

    real("max_blur", 16.0, "largest extent in the store, in pixels.")
    real("min_blur", 0.0, "smallest extent in the store, in pixels.")
    real("keep_sharp", 0.0, "part of the store's pairs without blur, such as 0.1.")
    flags.DEFINE_enum(
        "target",
        "middle",
        list(TARGETS),
        "where the sharp picture lies in the store: at the path's middle instant, or its centroid.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "light",
        "mixed",
        list(LIGHTS),
        "what is averaged in the store: linear light, stored values, or mixed.",
        flag_values=values,
    )
    real("camera_noise", 0.0, "factor on a sensor's noise in the store, such as 1; 0: off.")
    real("highlights", 0.0, "part of the store's pairs with lights brighter than white.")
    real("optics", 0.0, "part of the store's pairs out of focus, and as many sharpened; to 0.5.")
    flags.DEFINE_integer(
        "jpeg", 0, "lowest JPEG quality, in half of the store's pairs; 0: off.", flag_values=values
    )
    return values


_OF_THE_STORE = (
    *("count", "window", "jobs", "max_blur", "min_blur", "keep_sharp", "target", "light"),
    *("camera_noise", "highlights", "optics", "jpeg"),
)


def _blur(values: flags.FlagValues) -> int:
    require(values, "input_path")
    if values.pack:
        return _pack_blur(values)
    require(values, "output_path")
    for name in _OF_THE_STORE:
        if values[name].present:
            raise ValueError(f"--{name} is for a store: it needs --pack")
    from srn_tf.data import pair_list, photographs
    from srn_tf.images.files import find_images
    from srn_tf.progress import progress

    photos = find_images(values.input_path)
    with progress("blurring", len(photos)) as advance:
        photographs.write_pairs(photos, values.output_path, values.extent, values.seed, advance)
    print(f"pairs: {len(photos)}, in {os.path.join(values.output_path, pair_list.LIST)}")
    return 0


def _pack_blur(values: flags.FlagValues) -> int:
    for name in ("output_path", "extent"):
        if values[name].present:
            raise ValueError(f"--{name} is for a folder of pairs: it cannot go with --pack")
    if values.min_blur > values.max_blur or values.max_blur > 256:
        raise ValueError("min_blur must be 0 to max_blur pixels, and max_blur at most 256")
    if values.keep_sharp >= 1:
        raise ValueError(f"keep_sharp must be 0 or more, below 1, not {values.keep_sharp:g}")
    from srn_tf.data.camera import Camera
    from srn_tf.data.photographs import SyntheticSource, pack_pairs
    from srn_tf.progress import progress

    source = SyntheticSource(
        values.input_path,
        crop_size=values.window,
        max_blur=values.max_blur,
        min_blur=values.min_blur,
        keep_sharp=values.keep_sharp,
        camera=Camera(values.camera_noise, values.highlights, values.optics, values.jpeg),
        target=values.target,
        light=values.light,
    )
    with progress("blurring", values.count) as advance:
        pack_pairs(source, values.pack, values.count, values.seed, values.jobs, advance)
    print(f"pairs: {values.count}, in {values.pack}")
    return 0


_COMMANDS = {
    "list": (_LIST, _list_flags, _list),
    "pack": (_PACK, _pack_flags, _pack),
    "verify": (_VERIFY, _verify_flags, _verify),
    "blur": (_BLUR, _blur_flags, _blur),
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
    print(f"{PROGRAM}: the first word must be one of {words}, not {name!r}", file=sys.stderr)
    return USAGE_ERROR
