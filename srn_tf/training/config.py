"""What determines a training run."""

import dataclasses
import math

from srn_tf import UserError
from srn_tf.data.config import DataConfig
from srn_tf.networks.configs import NetworkConfig, from_json, to_json
from srn_tf.options import DECAYS, DEVICE_DATA, LOSSES, PRECISIONS, check_rules


@dataclasses.dataclass(frozen=True)
class Feed:
    """How batches come to a device on JAX; the numbers of a run do not depend on it.

    Attributes:
        processes: that make the batches; 0: one for each core.
        device_data: whether pairs lie in the memory of the device, where crops are cut: "on", "off"
            or "auto": where they come from a store, and fit. (Noise is then drawn there, and is of
            the same strength but not the same.)
    """

    processes: int = 0
    device_data: str = "auto"

    def __post_init__(self):
        rule = ("device_data", self.device_data in DEVICE_DATA, f"one of {', '.join(DEVICE_DATA)}")
        check_rules(self, [rule])


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """What determines the numbers of a training run. A run resumes with the same one only.

    Attributes:
        model: name of the model, a key of MODELS.
        network: its configuration, with what the user changed.
        data: the pairs to learn from.
        validation: held-out pairs, which change no number of the training.
        batch_size: crops a step.
        epochs: length of the run in passes over the data, where `max_steps` is 0.
        max_steps: length of the run in steps; the learning rate reaches its end there.
        lr, end_lr, decay, warmup: see `optimizer.learning_rate_schedule`.
        beta_2: of Adam: how long its mean squares of gradients remember.
        loss, spectrum: see `losses.losses_of_scales`.
        scale_weights: what the loss of each scale counts, coarse to fine; empty: 1 (the paper).
        clip_norm: global norm to which the gradients of the recurrent cells are clipped; 0 is off.
        clip_all: the same of all gradients together.
        seed: of weights, order, crops and blur.
        precision: float32, bfloat16 or float16; variables are float32 in any case.
        ema: momentum of moving averages of the weights, such as 0.999, which then are what is
            validated, tested and exported; 0 is off.
        accumulate: parts each device computes its share of the batch in, to save memory.
        init_from: checkpoint to take the first weights from; empty for random ones.
    """

    model: str
    network: NetworkConfig
    data: DataConfig
    validation: DataConfig | None = None
    batch_size: int = 16
    epochs: int = 2000
    max_steps: int = 0
    lr: float = 1e-4
    end_lr: float = 1e-6
    decay: str = "exponential"
    warmup: int = 0
    beta_2: float = 0.999
    loss: str = "l2"
    spectrum: float = 0.0
    scale_weights: tuple[float, ...] = ()
    clip_norm: float = 0.0
    clip_all: float = 0.0
    seed: int = 0
    precision: str = "float32"
    ema: float = 0.0
    accumulate: int = 1
    init_from: str = ""

    def __post_init__(self):
        # JSON has lists.
        object.__setattr__(self, "scale_weights", tuple(self.scale_weights))
        multiple, scales = self.network.size_multiple, self.network.scales
        pictures = self.network.pictures
        data_rules = [
            ("crop_size", self.data.crop_size % multiple == 0, f"a multiple of {multiple}"),
            (
                "packed",
                self.data.packed or pictures == 2,
                f"given for a network that learns from {pictures} pictures a pair",
            ),
            (
                "noise",
                self.data.noise == self.data.jpeg == 0 or pictures == 2,
                "0, and jpeg too, where candidates come with the blurred pictures",
            ),
            (
                "saturation",
                self.data.saturation == 0 or self.network.channels == 3,
                "0 for a network of one channel",
            ),
        ]
        check_rules(self.data, data_rules)
        rules = [
            ("batch_size", self.batch_size >= 1, "1 or more"),
            ("epochs", 1 <= self.epochs < 2**31, "1 or more, below 2**31"),
            ("max_steps", 0 <= self.max_steps < 2**31, "0 or more, below 2**31"),
            ("lr", 0 < self.lr < 1e38, "positive, below 1e38"),
            ("end_lr", 0 < self.end_lr < 1e38, "positive, below 1e38"),
            ("decay", self.decay in DECAYS, f"one of {', '.join(DECAYS)}"),
            (
                "warmup",
                self.warmup == 0 or (self.decay == "cosine" and self.warmup > 0),
                "0, or positive with a decay of cosine",
            ),
            ("beta_2", 0 < self.beta_2 < 1, "above 0, below 1"),
            ("loss", self.loss in LOSSES, f"one of {', '.join(LOSSES)}"),
            ("spectrum", 0 <= self.spectrum < math.inf, "0 (off) or positive"),
            (
                "scale_weights",
                len(self.scale_weights) in (0, scales)
                and all(0 < weight < math.inf for weight in self.scale_weights),
                f"{scales} positive numbers for this network",
            ),
            ("clip_norm", 0 <= self.clip_norm < math.inf, "0 (off) or positive"),
            ("clip_all", 0 <= self.clip_all < math.inf, "0 (off) or positive"),
            (
                "clip_norm",
                self.clip_norm == 0 or getattr(self.network, "recurrence", "") in ("lstm", "rnn"),
                "0 for a network without a recurrent cell",
            ),
            ("seed", 0 <= self.seed < 2**32, "0 or more, below 2**32"),
            ("precision", self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}"),
            ("ema", 0 <= self.ema < 1, "0 (off) or more, below 1"),
            (
                "accumulate",
                self.accumulate >= 1 and self.batch_size % self.accumulate == 0,
                f"1 or a divisor of the batch_size {self.batch_size}",
            ),
        ]
        check_rules(self, rules)

    def steps(self, examples: int) -> int:
        """The length of the run in steps, for so many examples an epoch.

        Raises:
            UserError: if that is more than can be counted.
        """
        steps = self.max_steps or self.epochs * max(1, examples // self.batch_size)
        if steps >= 2**31:
            raise UserError(f"{self.epochs} epochs are {steps} steps; there may be 2**31 at most")
        return steps

    @property
    def out_of_memory(self) -> str:
        """What to say where a step does not fit into the memory."""
        return (
            f"not enough memory for a step on {self.batch_size} crops of {self.data.crop_size}; "
            "lower --batch_size or --crop_size, or raise --accumulate"
        )

    def to_json(self) -> dict:
        """The configuration as JSON can hold it."""
        return {**dataclasses.asdict(self), "network": to_json(self.network)}

    @classmethod
    def from_json(cls, values: dict) -> "TrainingConfig":
        """The configuration that `to_json` was called on; in runs of old the data's fields are
        among its own."""
        values = dict(values)
        if "data" not in values:
            names = [field.name for field in dataclasses.fields(DataConfig)]
            values["data"] = {name: values.pop(name) for name in names if name in values}
        values["data"] = DataConfig(**values["data"])
        if values.get("validation"):
            values["validation"] = DataConfig(**values["validation"])
        return cls(**{**values, "network": from_json(values["network"])})

    def same_on_all_workers(self) -> dict:
        """What must be, as JSON can hold it."""
        values = self.to_json() | {"data": self.data.without_paths()}
        return {name: values[name] for name in values.keys() - {"validation", "init_from"}}

    def first_difference(self, other: "TrainingConfig") -> str:
        """The first field in which two trainings differ, and its values; empty if none."""
        mine, theirs = (config.to_json() for config in (self, other))
        for values in (mine, theirs):
            del values["validation"]
            values |= values.pop("network") | values.pop("data")
        for field, value in mine.items():
            if value != theirs.get(field):
                return f"{field} is {value!r}, was {theirs.get(field)!r}"
        return ""
