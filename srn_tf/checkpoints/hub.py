"""Folders for a hub of models, laid out as KerasHub does.

config.json         the network, as Keras serializes it
model.weights.h5    its weights
preprocessor.json   what it sees and gives
metadata.json       versions, parameters, the checkpoint it was made of
README.md           a model card, with the header that the hub reads
"""

import json
import pathlib

import keras

from srn_tf import __version__
from srn_tf.checkpoints.places import HUB_CONFIG, HUB_WEIGHTS
from srn_tf.checkpoints.presets import known

_TEXT = """
# {name}, a network that deblurs photographs

{name} of srn_tf, {parameters:,} parameters: the scale-recurrent network of Tao, Gao, Shen, Wang and
Jia (CVPR 2018) or a relative of it, in Keras 3. What it adds to a picture is a guess: nothing that
matters should be decided on a restored picture.

```python
import srn_tf

deblurrer = srn_tf.Deblurrer.from_preset("hf://USER/NAME")  # or this folder
restored = deblurrer.deblur("blurred.jpg")
```

{seen} {scores}
"""


def write(folder, model, card: dict) -> None:
    """Fills an empty folder.

    Args:
        folder: to write into.
        model: a network of this package.
        card: what `export.model_card` gives.
    """
    folder = pathlib.Path(folder)
    config = model.config
    of_checkpoint = known(card["checkpoint"].get("sha256"))
    network = keras.saving.serialize_keras_object(model)
    network.pop("compile_config", None)  # how it was trained
    metadata = {
        "keras_version": keras.__version__,
        "srn_tf_version": __version__,
        "parameter_count": model.count_params(),
        "checkpoint": card["checkpoint"],
    }
    preprocessor = {
        "color": "RGB" if config.channels == 3 else "R, G and B as a batch of three",
        "dtype": "float32",
        "layout": "batch, height, width, channels",
        "range": [0, 1],
        "channels": config.input_channels,
        "size_multiple": config.size_multiple,
        "padding": "right and bottom, by repeating the edge",
        "output": "pictures from coarse to fine; the last is the result, not clipped",
    }
    for name, content in (
        (HUB_CONFIG, network),
        ("metadata.json", metadata),
        ("preprocessor.json", preprocessor),
    ):
        _write(folder / name, f"{json.dumps(content, indent=2)}\n")
    model.save_weights(folder / HUB_WEIGHTS)
    _write(folder / "README.md", _card(card, of_checkpoint, preprocessor))


def _write(path: pathlib.Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _card(card: dict, of_checkpoint: dict, preprocessor: dict) -> str:
    """The model card; JSON is YAML, too."""
    scores = of_checkpoint.get("scores") or card.get("scores") or {}
    data = of_checkpoint.get("data", "held-out pairs of the training")
    licence = of_checkpoint.get("licence", "unknown")
    header = {
        "library_name": "keras",
        "pipeline_tag": "image-to-image",
        "license": "unknown" if licence == "unknown" else "other",
        "license_name": licence,
        "tags": ["deblurring", "image-restoration", "srn_tf"],
        "metrics": ["psnr", "ssim"],
    }
    if scores:
        task = {"type": "image-to-image", "name": "deblurring"}
        values = [{"type": name, "value": value} for name, value in scores.items()]
        result = {"task": task, "dataset": {"type": "images", "name": data}, "metrics": values}
        header["model-index"] = [{"name": card["name"], "results": [result]}]
    lines = [f"{key}: {json.dumps(value)}" for key, value in header.items()]
    text = _TEXT.format(
        name=card["name"],
        parameters=card["parameters"],
        seen=f"It sees float32 pictures in [0, 1], {preprocessor['color']}, of sides that are "
        f"multiples of {preprocessor['size_multiple']}; `Deblurrer` takes any.",
        scores=f"On {data}: PSNR {scores['psnr']:.2f} dB, SSIM {scores['ssim']:.4f}."
        if scores
        else "It has not been scored.",
    )
    return "\n".join(["---", *lines, "---", text])
