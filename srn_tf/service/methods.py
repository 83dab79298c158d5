"""What a user may choose among: the networks that come with srn_tf, one more, and `blind`."""

import dataclasses
import pathlib

from srn_tf.checkpoints import places
from srn_tf.checkpoints.load import load_model, locate
from srn_tf.options import BLIND
from srn_tf.restoration.batch import Restorer
from srn_tf.restoration.blind import BlindDeblurrer
from srn_tf.service.config import ServiceConfig

_ABOUT = {
    "fast": "network alone, for blur of any cause, in a fraction of the time",
    "color_lstm_residual": "the paper's network, trained for two hours; for light blur",
    "chooser": "network that chooses among deconvolutions, pixel by pixel: the best there is",
    BLIND: "deconvolution by the blur that is found in the picture, where it can be trusted",
}


@dataclasses.dataclass(frozen=True)
class Method:
    """One way of restoring.

    Attributes:
        name: as in `?method=`.
        about: a line for people.
        has_strength: whether it takes a strength.
        checkpoint: of the network; None for a method without one.
    """

    name: str
    about: str
    has_strength: bool = False
    checkpoint: pathlib.Path | None = None


def available(checkpoint=None) -> dict[str, Method]:
    """The methods by name; the first is the default: `checkpoint`, else what `srn-test` takes.

    Raises:
        UserError: if there is no such checkpoint.
    """
    best = places.shipped()
    shipped = sorted(places.FOLDER.glob("*.npz"), key=lambda path: path != best)
    networks = {path.stem: path for path in shipped}
    if checkpoint is not None:
        name = pathlib.Path(checkpoint).resolve().stem
        networks.pop(name, None)
        networks = {name: locate(checkpoint), **networks}
    methods = [
        Method(name, _ABOUT.get(name, "network of this server's owner"), checkpoint=path)
        for name, path in networks.items()
    ]
    blind = Method(BLIND, _ABOUT[BLIND], has_strength=True)
    return {method.name: method for method in (*methods, blind)}


def create(method: Method, strength: float | None, config: ServiceConfig) -> Restorer:
    """What restores by a method, on the TensorFlow device that is in scope.

    Raises:
        UserError: if the checkpoint cannot be used, or the strength is outside its rule.
        MemoryError: if there is too little.
    """
    if method.checkpoint is None:
        return BlindDeblurrer(
            strength=1.0 if strength is None else strength, threads=config.threads
        )
    from srn_tf.restoration.deblurrer import Deblurrer, fastest_precision

    # Not `Deblurrer(path)`, whose networks are shared: each device has its own.
    precision = fastest_precision() if config.precision == "auto" else config.precision
    return Deblurrer(load_model(method.checkpoint, precision), tile=config.tile)
