"""Export of a trained network as a SavedModel."""

import keras
import tensorflow as tf

from srn_tf.files import atomic_folder
from srn_tf.networks import restore


def export_saved_model(model, output_path) -> None:
    """Writes a SavedModel that takes pictures of any size.

    Its signature `serving_default` takes `image`, float32 [batch, height, width, channels] in
    [0, 1], and returns `restored` of the same shape, not clipped; padding and cropping are inside.

    Args:
        model: a network of this package.
        output_path: the folder to write, which must not exist; whole or not at all.

    Raises:
        ValueError: if the folder exists.
    """
    image = tf.TensorSpec((None, None, None, model.config.channels), tf.float32, name="image")
    with atomic_folder(output_path) as temporary:
        archive = keras.export.ExportArchive()
        archive.track(model)
        archive.add_endpoint(
            "serving_default",
            lambda image: {"restored": restore(model, image)},
            input_signature=[image],
        )
        archive.write_out(temporary, verbose=False)
