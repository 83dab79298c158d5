"""TensorBoard's files of a run."""

import contextlib
import pathlib

import tensorflow as tf

from srn_tf.atomic import atomic_file


class Board:
    """What TensorBoard shows of a run.

    Args:
        folder: of the run.
        step: what was written after it is forgotten: it comes again.

    Raises:
        OSError: if the folder cannot be written; all that writes raises it.
    """

    def __init__(self, folder, step: int):
        with _writing():
            for path in pathlib.Path(folder).glob("events.out.tfevents.*"):
                with atomic_file(path) as temporary:
                    _copy_events(path, temporary, step)
            self._writer = tf.summary.create_file_writer(str(folder))

    def write(self, row: dict) -> None:
        """Adds a row of metrics."""
        with _writing():
            with self._writer.as_default(row["step"]):
                for name, value in row.items():
                    if isinstance(value, list):
                        for scale, number in enumerate(value):
                            tf.summary.scalar(f"{name}/{scale}", number)
                    elif name != "step":
                        tf.summary.scalar(name, value)
            self._writer.flush()

    def show(self, step: int, name: str, pictures) -> None:
        """Shows pictures, [batch, height, width, channels] in [0, 1]."""
        with _writing():
            shown = tf.clip_by_value(tf.cast(pictures, tf.float32), 0, 1)
            with self._writer.as_default(step):
                tf.summary.image(name, shown, max_outputs=len(pictures))
            self._writer.flush()


@contextlib.contextmanager
def _writing():
    """Turns TensorFlow's errors into the system's."""
    try:
        yield
    except tf.errors.OpError as error:
        # Several lines, the first ends in "; reason".
        raise OSError(error.message.splitlines()[0].rpartition("; ")[2]) from error


def _copy_events(path, target, last_step: int) -> None:
    """Copies events up to a step, as far as a killed process wrote them whole."""
    with tf.io.TFRecordWriter(str(target)) as writer, contextlib.suppress(tf.errors.DataLossError):
        for record in tf.data.TFRecordDataset(str(path)):
            if tf.compat.v1.Event.FromString(record.numpy()).step <= last_step:
                writer.write(record.numpy())
