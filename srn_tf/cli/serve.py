"""srn-serve: a page and an API to deblur pictures with."""

import os
import sys

from absl import flags

from srn_tf.cli.command import (
    FAILURE,
    Flags,
    require_checkpoint,
    require_gpu,
    require_packages,
    run,
    say,
    start_tensorflow,
)
from srn_tf.options import PRECISIONS
from srn_tf.service.config import ServiceConfig

SUMMARY = """serves a page to drop pictures on, and an API, until Ctrl-C or SIGTERM.

    srn-serve
    srn-serve --checkpoint runs/color_lstm --port 8080
    curl --data-binary @blurred.jpg -o restored.jpg 'http://127.0.0.1:8000/api/restore?quality=90'
Other machines reach it with --host 0.0.0.0, and should then need a --token.
"""

_PACKAGES = {"fastapi": "fastapi", "uvicorn": "uvicorn", "python_multipart": "python-multipart"}
_TOKEN = "SRN_SERVE_TOKEN"
# Flags that are fields of the configuration.
_FIELDS = {
    "host": "name or address to listen on; 0.0.0.0: all of this machine's.",
    "port": "to listen on; 0: one that is free.",
    "token": f"that requests must bring (Authorization: Bearer TOKEN); default: ${_TOKEN}.",
    "checkpoint": "run folder, checkpoint file, or prefix of a checkpoint of the authors', "
    "offered first; default: the weights that come with srn_tf.",
    "max_upload_mb": "larger uploads are refused, millions of bytes.",
    "max_megapixels": "larger pictures are refused, millions of pixels.",
    "queue": "more pictures than these are refused while they wait.",
    "max_stored_mb": "of the temporary folder, millions of bytes.",
    "transfer_seconds": "that a client may take to send a picture, and to fetch it.",
    "timeout": "seconds that a picture may wait and be restored.",
    "grace": "seconds from SIGTERM to the end.",
}


def define_flags() -> flags.FlagValues:
    define = Flags()
    for name, text in _FIELDS.items():
        if name in ("token", "checkpoint"):
            define.string(name, text)
        else:
            define.of_field(ServiceConfig, name, text)
    define.choice(
        "precision",
        ("auto", *PRECISIONS),
        "to compute in; auto: bfloat16 on a GPU or processor that has it, else float32.",
        "auto",
    )
    define.integer("tile", "longest side in pixels of what the network sees at once.", low=256)
    define.integer(
        "batch_size",
        "pictures of equal size to restore at once; default: 8 on a GPU, 1 on a processor.",
        low=1,
    )
    define.device()
    return define.values


def execute(values: flags.FlagValues) -> int:
    names = (*_FIELDS, "precision", "tile", "batch_size", "threads")
    options = {name: values[name].value for name in names}
    if options["token"] is None:
        options["token"] = os.environ.get(_TOKEN) or None
    config = ServiceConfig(**options)
    require_packages("srn-serve", _PACKAGES)
    require_gpu(values.gpu)
    require_checkpoint(config.checkpoint, None)
    from srn_tf.service.address import listen

    bound = listen(config)
    if not config.is_private and config.token is None:
        say(
            f"srn-serve: {config.host}: whoever reaches this machine may use it; "
            "--token keeps others out",
            sys.stderr,
        )
    start_tensorflow(values.gpu, values.threads)
    from srn_tf.service.server import serve

    if serve(config, bound, lambda address: say(f"srn-serve: {address} (Ctrl-C ends it)")):
        return 0
    say(f"srn-serve: not all pictures were finished in {config.grace:g} seconds", sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(FAILURE)  # threads that still compute would keep the process


def main(argv=None) -> int:
    """The command; gives its exit status."""
    return run("srn-serve", SUMMARY, define_flags(), execute, argv)
