"""Signals that ask a long work to end."""

import signal
import sys
import threading


class Signals:
    """Turns Ctrl-C and SIGTERM into a request to end after this step; Ctrl-C again ends at once.

    Clusters send SIGTERM some time before they kill.

    Attributes:
        seen: the number of the signal, or 0.
    """

    seen = 0

    def __enter__(self):
        # Python handles signals in the main thread alone.
        main = threading.current_thread() is threading.main_thread()
        numbers = (signal.SIGINT, signal.SIGTERM) if main else ()
        self._previous = {number: signal.signal(number, self._handle) for number in numbers}
        return self

    def __exit__(self, *_):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number, frame):
        self.seen = number
        signal.signal(number, self._previous[number])
        again = "; Ctrl-C again ends at once" if number == signal.SIGINT else ""
        print(f"\nending after this step{again}", file=sys.stderr)
