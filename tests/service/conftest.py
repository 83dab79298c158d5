"""A server with a small network, and what test.py makes of pictures."""

import pathlib

import pytest
from helpers import SMALL, randomize
from serving import Server

import srn_tf
from srn_tf.checkpoints import archive
from srn_tf.cli import test


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Of a small network with random weights."""
    path = tmp_path_factory.mktemp("network") / "small.npz"
    model = srn_tf.create_model("color_lstm_residual", **SMALL)
    randomize(model)
    archive.save(path, "color_lstm_residual", model)
    return path


@pytest.fixture(scope="module")
def server(checkpoint, tmp_path_factory):
    """One for all tests of a module, with narrow limits; at the end it must end in order."""
    server = Server(
        tmp_path_factory.mktemp("server"),
        *(f"--checkpoint={checkpoint}", "--max_megapixels=0.5", "--max_upload_mb=2"),
        *("--queue=220", "--transfer_seconds=6"),
    )
    yield server
    assert server.end() == (0, "")
    assert list(server.folder.iterdir()) == []


@pytest.fixture(scope="module")
def restored_by_command(checkpoint):
    """(folder, words) -> test.py's results of a folder, by name."""

    def restore(folder: pathlib.Path, *words: str) -> dict[str, bytes]:
        output = folder.with_name(f"{folder.name}.restored")
        words = words or (f"--checkpoint={checkpoint}",)
        assert test.main([str(folder), f"--output_path={output}", *words]) == 0
        return {file.name: file.read_bytes() for file in output.iterdir()}

    return restore
