#!/usr/bin/env bash
# From a folder of photographs to scored weights in a given time, on a GPU or on a few cores:
#
#     checkpoints/train.sh --photos photos --out runs/fast --minutes 10
#
#   --photos FOLDER    sharp photographs to make blur from
#   --val_photos FOLDER  others, to validate with; default: none
#   --out FOLDER       made anew: pairs, run, weights.npz (half floats), curves.png where there is
#                      matplotlib; after an interruption the same command goes on
#   --minutes M        of all of it; default 10; where --max_steps or --epoch, after the --, says how
#                      long the training is, only the number of pairs follows from it
#   --network NAME     default fast; what follows -- goes to train.py as it is
#   --backend B        jax or tensorflow; default: jax where there is no TensorFlow or a GPU that
#                      JAX sees, else tensorflow
#   --pairs N          default: 50 for each core and minute, 5 for chooser
#   --val_pairs N      default: 64
#   --python P         default python3
#
# Where there is no TensorFlow, `pip install jax keras absl-py opencv-python-headless pillow
# simplejpeg scikit-image tifffile rich psutil filelock` is what it takes.
set -euo pipefail

photos="" val_photos="" out="" minutes=10 network=fast backend="" pairs="" val_pairs=64 python=python3
while [ $# -gt 0 ]; do
    case "$1" in
    --photos | --val_photos | --out | --minutes | --network | --backend | --pairs | --val_pairs | --python)
        [ $# -gt 1 ] || { echo "train.sh: $1 needs a value" >&2; exit 2; }
        declare "${1#--}=$2"
        shift 2
        ;;
    --) shift; break ;;
    *) echo "train.sh: unknown argument $1; its first lines tell what there is" >&2; exit 2 ;;
    esac
done
[ -n "$photos" ] && [ -n "$out" ] || { echo "train.sh: --photos and --out are needed" >&2; exit 2; }

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
begun=$SECONDS
srn() { # a command of the package, which need not be installed
    "$python" -c "import sys; from srn_tf.cli.$1 import main; sys.exit(main(sys.argv[1:]))" "${@:2}"
}
say() { echo "== $(((SECONDS - begun) / 60)):$(printf %02d $(((SECONDS - begun) % 60)))  $*"; }
has() { "$python" -c "import importlib.util, sys; sys.exit(not importlib.util.find_spec('$1'))"; }

if [ -z "$backend" ]; then
    backend=tensorflow
    if ! has tensorflow || { has jax && "$python" -c \
        "import jax, sys; sys.exit(jax.default_backend() == 'cpu')" 2>/dev/null; }; then
        backend=jax
    fi
fi
export KERAS_BACKEND=$backend
# A GPU has the room for larger crops and the units for bfloat16.
larger=()
if [ "$backend" = jax ] && "$python" -c \
    "import jax, sys; sys.exit(jax.default_backend() == 'cpu')" 2>/dev/null; then
    larger=(--crop_size=256 --batch_size=32 --precision=bfloat16)
fi
mkdir -p "$out"

# The device shows what it can do while the cores make pairs.
if [ "$backend" = jax ]; then
    "$python" -c '
import time, jax, jax.numpy as jnp
x = jnp.ones((4096 if jax.default_backend() != "cpu" else 512,) * 2, jnp.bfloat16)
f = jax.jit(lambda x: x @ x); f(x).block_until_ready(); t = time.perf_counter()
for _ in range(10): y = f(x)
y.block_until_ready(); s = (time.perf_counter() - t) / 10
print(f"== {jax.devices()[0].device_kind}: bfloat16 matmul {2 * len(x) ** 3 / s / 1e12:.2f} TFLOP/s")
' &
fi
# A network that chooses needs what deconvolution makes of a picture: noise and the rest of a camera
# come before that, not after.
blurred=() changed=() a_minute=50
if [ "$network" = chooser ]; then
    blurred=(--candidates --window=448 --max_blur=24 --moving_part=0.5 --camera_noise=0.6
        --highlights=0.33 --optics=0.15 --jpeg=75)
    changed=(--noise=0) a_minute=5
fi
blur() { # photographs, store, pairs, seed
    [ -e "$2" ] || srn data blur --input_path "$1" --pack "$2" --count "$3" \
        --seed "$4" --flagfile "$here/checkpoints/blur.flags" "${blurred[@]}"
}
pairs=${pairs:-$("$python" -c "print(max(64, round($a_minute * $minutes * $(nproc))))")}
say "blurring $pairs pairs on $(nproc) cores"
blur "$photos" "$out/pairs.npz" "$pairs" 1
held_out=()
if [ -n "$val_photos" ]; then
    blur "$val_photos" "$out/held_out.npz" "$val_pairs" 2
    held_out=(--val_packed "$out/held_out.npz")
fi
wait

left="" length=() resume=()
if ! [[ " $*" =~ " "--?(max_steps|epoch)[\ =] ]]; then
    left=$("$python" -c "print(round(max(0.5, $minutes - ($SECONDS - $begun) / 60 - 0.2), 2))")
    length=(--minutes "$left")
fi
[ -d "$out/run" ] && resume=(--resume)
say "training $network on $backend${left:+ for $left minutes}"
"$python" "$here/train.py" --model "$network" --packed "$out/pairs.npz" "${held_out[@]}" \
    --run_dir "$out/run" --backend "$backend" "${length[@]}" "${resume[@]}" \
    --flagfile "$here/checkpoints/recipe.flags" "${changed[@]}" "${larger[@]}" "$@"

say "weights"
rm -f "$out/weights.npz"
srn import_checkpoint --checkpoint "$out/run" --storage float16 \
    --output "$out/weights.npz"
if has matplotlib; then
    srn plot "$out/run" --output_path "$out/curves.png"
fi
say "done"
