"""A server in a process of its own."""

import os
import pathlib
import queue
import signal
import subprocess
import sys
import threading

from helpers import TESTS

SECONDS = 300  # that anything may take on a busy machine


class Server:
    """`srn-serve` with these flags; its temporary files are in `folder`."""

    def __init__(self, folder: pathlib.Path, *flags: str):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        code = "import sys; from srn_tf.cli.serve import main; sys.exit(main(sys.argv[1:]))"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "--port=0", "--gpu=-1", *flags],
            cwd=TESTS.parent,
            env={**os.environ, "TMPDIR": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        lines = queue.Queue()
        threading.Thread(target=lambda: lines.put(self.process.stdout.readline())).start()
        try:
            line = lines.get(timeout=SECONDS)
            assert line.startswith("srn-serve: http://127.0.0.1:"), self.process.stderr.read()
        except BaseException:
            self.process.kill()
            raise
        self.address = line.split()[1]
        self.port = int(self.address.rsplit(":", 1)[1])

    def stored(self) -> list[str]:
        """The files at hand."""
        return [file for folder in self.folder.glob(".srn-*") for file in os.listdir(folder)]

    def peak_memory(self) -> float:
        """In GB."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024 / 1e9

    def end(self, number=signal.SIGTERM) -> tuple[int, str]:
        """Exit status, and what it printed on standard error."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, errors
