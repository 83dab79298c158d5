"""Configurations: plain frozen dataclasses, and the named models.

Nothing but the standard library is imported here, so a command can show its help, and a
configuration can be read, without starting Keras or TensorFlow.
"""

import dataclasses
import math

BLOCKS = ("residual", "plain")
RECURRENCES = ("none", "conv", "sum", "rnn", "lstm")
LOSSES = ("l2", "charbonnier")
DECAYS = ("exponential", "polynomial", "cosine")
# Deconvolutions to compare with; see `classical`.
CLASSICAL = ("wiener", "richardson_lucy")
# The user's word for a precision, and Keras' dtype policy.
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
# What a network is exported to, and the ending of the file; "" stands for a folder.
EXPORT_FORMATS = {"saved_model": "", "onnx": ".onnx", "openvino": "", "litert": ".tflite"}


def _check(config, rules) -> None:
    for field, holds, rule in rules:
        if not holds:
            raise ValueError(f"{field} must be {rule}, not {getattr(config, field)!r}")


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A scale-recurrent network (section 3 of the paper) or one of the variants of its Table 1.

    Attributes:
        channels: channels of the picture: 3 (colour) or 1 (trained on luma; colour pictures pass as
            a batch of three).
        kernel_size: of every convolution but the transposed ones (4x4) and the recurrent one (3x3).
        widths: feature channels of each level of the encoder, finest first.
        blocks: blocks in each stage of encoder and decoder: one number, or one for each level,
            finest first.
        block: "residual" (ResBlock) or "plain" (two convolutions with ReLU).
        stride: of the first convolution of every level but the first; 1 removes the pyramid of
            features, and with it the skip connections between encoder and decoder.
        recurrence: what joins encoder and decoder: "lstm" (ConvLSTM), "rnn" (plain convolutional
            RNN), "sum" (a 3x3 convolution of features and state added up), "conv" (a 3x3
            convolution with ReLU, no state) or "none".
        scales: number of scales, each half the size of the next.
        shared: one set of variables for all scales, or one for each.
        residual: add the blurred image to the network's output, and start as the identity (see
            `networks.layers`). Not in the paper; learns far faster from little data.
        patch: side in pixels of the squares that become the channels of one place before the first
            convolution, and squares again after the last: 1, 2 or 4. Not in the paper; all
            convolutions see 1 / patch of the height and width.
        norm: normalise over the channels before each ResBlock. Not in the paper; learns at higher
            rates.
    """

    channels: int = 3
    kernel_size: int = 5
    widths: tuple[int, ...] = (32, 64, 128)
    blocks: int | tuple[int, ...] = 3
    block: str = "residual"
    stride: int = 2
    recurrence: str = "none"
    scales: int = 3
    shared: bool = True
    residual: bool = False
    patch: int = 1
    norm: bool = False

    def __post_init__(self):
        object.__setattr__(self, "widths", tuple(self.widths))
        if not isinstance(self.blocks, int):
            object.__setattr__(self, "blocks", tuple(self.blocks))
        rules = [
            ("channels", self.channels in (1, 3), "1 or 3"),
            ("kernel_size", self.kernel_size in (1, 3, 5, 7), "1, 3, 5 or 7"),
            ("widths", self.widths and min(self.widths) >= 1, "one or more positive numbers"),
            (
                "blocks",
                len(self.blocks_of_levels) == len(self.widths) and min(self.blocks_of_levels) >= 1,
                "1 or more, or such a number for each of the widths",
            ),
            ("block", self.block in BLOCKS, f"one of {', '.join(BLOCKS)}"),
            ("stride", self.stride in (1, 2), "1 or 2"),
            ("recurrence", self.recurrence in RECURRENCES, f"one of {', '.join(RECURRENCES)}"),
            ("scales", 1 <= self.scales <= 5, "1 to 5"),
            ("patch", self.patch in (1, 2, 4), "1, 2 or 4"),
            ("norm", not self.norm or self.block == "residual", "off for plain blocks"),
        ]
        _check(self, rules)

    @property
    def blocks_of_levels(self) -> tuple[int, ...]:
        """Blocks of a stage at each level, finest first."""
        many = isinstance(self.blocks, tuple)
        return self.blocks if many else (self.blocks,) * len(self.widths)

    @property
    def size_multiple(self) -> int:
        """Height and width of the input must be multiples of this (16 in the paper's network)."""
        return 2 ** (self.scales - 1) * self.stride ** (len(self.widths) - 1) * self.patch


@dataclasses.dataclass(frozen=True)
class MSCNNConfig:
    """The multi-scale CNN of Nah et al., CVPR 2017.

    Attributes:
        channels: of the picture.
        kernel_size: of every convolution.
        width: feature channels.
        blocks: ResBlocks at each scale.
        scales: number of scales, each half the size of the next.
    """

    channels: int = 3
    kernel_size: int = 5
    width: int = 64
    blocks: int = 19
    scales: int = 3

    def __post_init__(self):
        _check(
            self,
            [
                ("channels", self.channels in (1, 3), "1 or 3"),
                ("kernel_size", self.kernel_size in (1, 3, 5, 7), "1, 3, 5 or 7"),
                ("width", self.width >= 1, "1 or more"),
                ("blocks", self.blocks >= 1, "1 or more"),
                ("scales", 1 <= self.scales <= 5, "1 to 5"),
            ],
        )

    @property
    def size_multiple(self) -> int:
        """Height and width of the input must be multiples of this."""
        return 2 ** (self.scales - 1)


@dataclasses.dataclass(frozen=True)
class PSSNSCConfig:
    """Parameter selective sharing and nested skip connections, Gao et al., CVPR 2019.

    Attributes:
        channels: of the picture.
        widths: feature channels of the three levels of the encoder, finest first.
        scales: number of scales, each half the size of the next.
    """

    channels: int = 1
    widths: tuple[int, int, int] = (32, 64, 128)
    scales: int = 3

    def __post_init__(self):
        object.__setattr__(self, "widths", tuple(self.widths))
        _check(
            self,
            [
                ("channels", self.channels in (1, 3), "1 or 3"),
                ("widths", len(self.widths) == 3 and min(self.widths) >= 1, "3 positive numbers"),
                ("scales", 1 <= self.scales <= 5, "1 to 5"),
            ],
        )

    @property
    def size_multiple(self) -> int:
        """Height and width of the input must be multiples of this."""
        return 2 ** (self.scales + 1)


ARCHITECTURES = {"srn": ModelConfig, "mscnn": MSCNNConfig, "pss_nsc": PSSNSCConfig}
NetworkConfig = ModelConfig | MSCNNConfig | PSSNSCConfig

MODELS = {
    # The three models the authors released.
    "lstm": ModelConfig(channels=1, recurrence="lstm"),
    "gray": ModelConfig(channels=1),
    "color": ModelConfig(),
    # This project's: the paper's network on colour pictures, and with a global residual.
    "color_lstm": ModelConfig(recurrence="lstm"),
    "color_lstm_residual": ModelConfig(recurrence="lstm", residual=True),
    # This project's: for few multiplications. A picture's squares of 4x4 are its channels.
    "fast": ModelConfig(
        kernel_size=3,
        widths=(64, 128, 192),
        blocks=(2, 3, 3),
        recurrence="sum",
        residual=True,
        patch=4,
    ),
    "fast_small": ModelConfig(
        kernel_size=3,
        widths=(32, 64, 128),
        blocks=(1, 2, 3),
        recurrence="sum",
        residual=True,
        patch=4,
    ),
    # Table 1 of the paper.
    "ss": ModelConfig(kernel_size=3, recurrence="conv", scales=1),
    "sc": ModelConfig(kernel_size=3, recurrence="conv", shared=False),
    "wo_r": ModelConfig(kernel_size=3, recurrence="conv"),
    "rnn": ModelConfig(kernel_size=3, recurrence="rnn"),
    "sr_flat": ModelConfig(kernel_size=3, recurrence="conv", stride=1, block="plain"),
    "sr_rb": ModelConfig(kernel_size=3, recurrence="conv", stride=1),
    "sr_ed": ModelConfig(kernel_size=3, recurrence="lstm", block="plain"),
    "sr_edrb1": ModelConfig(kernel_size=3, recurrence="lstm", blocks=1),
    "sr_edrb2": ModelConfig(kernel_size=3, recurrence="lstm", blocks=2),
    "sr_edrb3": ModelConfig(kernel_size=3, recurrence="lstm"),
    # The networks before and after it.
    "mscnn": MSCNNConfig(),
    "pss_nsc": PSSNSCConfig(),
}


def model_config(name: str, **overrides) -> NetworkConfig:
    """The configuration of a named model, with some fields replaced.

    Raises:
        ValueError: for an unknown name, an unknown field, or a value outside its rule.
    """
    if name not in MODELS:
        raise ValueError(f"no model named {name!r}; there are {', '.join(MODELS)}")
    fields = [field.name for field in dataclasses.fields(MODELS[name])]
    for option in overrides:
        if option not in fields:
            raise ValueError(f"{name} has no option {option!r}; there are {', '.join(fields)}")
    return dataclasses.replace(MODELS[name], **overrides)


def to_json(config: NetworkConfig) -> dict:
    """The configuration as JSON can hold it."""
    (architecture,) = (name for name, kind in ARCHITECTURES.items() if type(config) is kind)
    return {"architecture": architecture, **dataclasses.asdict(config)}


def from_json(values: dict) -> NetworkConfig:
    """The configuration that `to_json` was given.

    Raises:
        ValueError, TypeError, KeyError: if `values` is something else.
    """
    values = dict(values)
    return ARCHITECTURES[values.pop("architecture")](**values)


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """What determines the numbers of a training run. A run resumes with the same one only.

    Attributes:
        model: name of the model, a key of MODELS.
        network: its configuration, with what the user changed.
        datalist: file of pairs, `sharp blurred` a line; one of this, `packed` and `sharp_path`.
        data_root: folder the paths of the list start from.
        packed: the pairs of a list in one file, as `data.store.pack` writes it.
        sharp_path: folder of sharp photographs to make blur from.
        min_blur, max_blur: extent of the synthesized camera path, in pixels.
        magnify, keep_sharp: see `data.synthesis.SyntheticSource`.
        flips, turns, noise, saturation, jpeg: see `data.augmentation.AugmentedSource`; not in the
            paper.
        crop_size: side of the square crops, in pixels.
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
    datalist: str = ""
    data_root: str = ""
    packed: str = ""
    sharp_path: str = ""
    min_blur: float = 0.0
    max_blur: float = 16.0
    magnify: float = 1.0
    keep_sharp: float = 0.0
    flips: bool = False
    turns: bool = False
    noise: float = 0.0
    saturation: float = 0.0
    jpeg: int = 0
    crop_size: int = 256
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
        if sum(map(bool, (self.datalist, self.packed, self.sharp_path))) != 1:
            raise ValueError("--packed, --datalist or --sharp_path is needed, and only one of them")
        # JSON has lists.
        object.__setattr__(self, "scale_weights", tuple(self.scale_weights))
        multiple, scales = self.network.size_multiple, self.network.scales
        rules = [
            ("max_blur", 0 <= self.max_blur <= 256, "0 to 256 pixels"),
            ("min_blur", 0 <= self.min_blur <= self.max_blur, "0 to max_blur pixels"),
            ("magnify", 1 <= self.magnify <= 4, "1 (off) to 4"),
            ("keep_sharp", 0 <= self.keep_sharp < 1, "0 (off) or more, below 1"),
            ("jpeg", 0 <= self.jpeg <= 100, "0 (off) to 100"),
            ("noise", 0 <= self.noise <= 255, "0 (off) to 255 grey levels"),
            ("saturation", 0 <= self.saturation <= 1, "0 (off) to 1"),
            (
                "saturation",
                self.saturation == 0 or self.network.channels == 3,
                "0 for a network of one channel",
            ),
            (
                "crop_size",
                self.crop_size > 0 and self.crop_size % multiple == 0,
                f"a multiple of {multiple}",
            ),
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
        _check(self, rules)

    def steps(self, examples: int) -> int:
        """The length of the run in steps, for so many examples an epoch.

        Raises:
            ValueError: if that is more than can be counted.
        """
        steps = self.max_steps or self.epochs * max(1, examples // self.batch_size)
        if steps >= 2**31:
            raise ValueError(f"{self.epochs} epochs are {steps} steps; there may be 2**31 at most")
        return steps

    def to_json(self) -> dict:
        """The configuration as JSON can hold it."""
        return {**dataclasses.asdict(self), "network": to_json(self.network)}

    def without_paths(self) -> "TrainingConfig":
        """What must be the same on all workers, which may keep their data in different places."""
        paths = ("datalist", "data_root", "packed", "sharp_path", "init_from")
        kind = next(path for path in paths if getattr(self, path))
        return dataclasses.replace(self, **{**dict.fromkeys(paths, ""), kind: "here"})

    @classmethod
    def from_json(cls, values: dict) -> "TrainingConfig":
        """The configuration that `to_json` was called on."""
        return cls(**{**values, "network": from_json(values["network"])})

    def first_difference(self, other: "TrainingConfig") -> str:
        """The first field in which two configurations differ, and its values; empty if none."""
        mine, theirs = self.to_json(), other.to_json()
        mine |= mine.pop("network")
        theirs |= theirs.pop("network")
        for field, value in mine.items():
            if value != theirs.get(field):
                return f"{field} is {value!r}, was {theirs.get(field)!r}"
        return ""
