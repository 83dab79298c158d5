"""What the devices do in some steps of a run, for TensorBoard's profiler."""

import numpy as np

from srn_tf import UserError


class Profiler:
    """Takes the steps of a run, and looks at those from the first to the last that are asked for.

    A context manager, inside which steps are taken: where the run ends before, so does the look.

    Args:
        trainer: see `loop.Trainer`.
        folder: of the run, which TensorBoard shows.
        steps: first and last, counted from 1; None to look at none.
        done, length: steps of the run that were taken before, and in all.

    Raises:
        UserError: if the run has no such steps ahead.
    """

    def __init__(self, trainer, folder, steps: tuple[int, int] | None, done: int, length: int):
        self._trainer, self._folder, self._looking = trainer, str(folder), False
        self._first, self._last = steps or (0, 0)
        if steps and not done < self._first <= length:
            raise UserError(
                f"profile {self._first}:{self._last}: the run has the steps {done + 1} to {length}"
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._looking:
            self._looking = False
            self._trainer.stop_profile()

    def step(self, number: int, batch) -> dict:
        """Takes a step; gives its numbers."""
        if number == self._first:
            self._trainer.start_profile(self._folder)
            self._looking = True
        numbers = self._trainer.step(*batch)
        if number == self._last:
            np.asarray(numbers["loss"])  # the device is still at it
            self.__exit__()
        return numbers
