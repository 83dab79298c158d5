"""How long a run may be that has to end in time: measured by some steps on trial."""

import dataclasses
import time

import numpy as np
from keras import ops

_FIRST = 3  # steps, with compilation, that say nothing of the others
_PART = 0.02  # of the time, to be spent on trial
_MOST = 200  # steps on trial
_RESERVE = 0.03  # of the time, for the last checkpoint and what goes slower


@dataclasses.dataclass
class Trial:
    """Takes steps that leave no trace, and counts.

    Attributes:
        trainer: at its start; see `loop.Trainer`.
        validation: what is done every `validate_every` steps, or None.
        validate_every: steps.
        deadline: of the run, in seconds of `time.monotonic`.
    """

    trainer: object
    validation: object
    validate_every: int
    deadline: float

    def length(self, config, source, share, feed) -> int:
        """The steps that the run can take until the deadline, at least 1."""
        variables = [*self.trainer.model.variables, *self.trainer.optimizer.variables]
        values = [np.array(ops.convert_to_numpy(variable)) for variable in variables]
        with self.trainer.batches(config, source, 0, _FIRST + 1 + _MOST, share, feed) as batches:
            self._seconds(batches, _FIRST)
            one = self._seconds(batches, 1)
            budget = _PART * (self.deadline - time.monotonic())
            steps = int(np.clip(budget / one, 2, _MOST))
            a_step = self._seconds(batches, steps) / steps
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        self.trainer.restart()
        if self.validation:
            self.validation.run()  # compiles
            begun = time.monotonic()
            self.validation.run()
            seconds = time.monotonic() - begun
            a_step += seconds / self.validate_every
            self.deadline -= seconds
        left = (1 - _RESERVE) * (self.deadline - time.monotonic())
        return max(1, int(left / a_step))

    def _seconds(self, batches, steps: int) -> float:
        """That so many steps take, with their batches."""
        begun = time.monotonic()
        for _ in range(steps):
            numbers = self.trainer.step(*next(batches))
        np.asarray(numbers["loss"])  # waits for the device
        return time.monotonic() - begun
