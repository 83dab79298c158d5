"""Configurations of networks: plain frozen dataclasses, and the named models.

Nothing but the standard library is imported here, so a command can show its help, and a
configuration can be read, without starting Keras or TensorFlow.
"""

import dataclasses
import math

from srn_tf import UserError
from srn_tf.options import check_rules, check_types

BLOCKS = ("residual", "plain")
RECURRENCES = ("none", "conv", "sum", "rnn", "lstm")
# Far beyond what anybody trains; a file that says more is forged.
_WIDEST, _MOST_BLOCKS = 4096, 1000


@dataclasses.dataclass(frozen=True)
class SRNConfig:
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
        whitened: give these squares as numbers that vary more alike in photographs (see
            `networks.patches`). Not in the paper; learns several times faster.
        norm: normalise over the channels before each ResBlock. Not in the paper; learns at higher
            rates.
        candidates: pictures that come with the blurred one, such as deconvolutions of it, to choose
            from: each pixel is a weighted mean of the blurred picture and of them, plus a
            correction.
        hints: pictures that come behind those, only to be looked at.
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
    whitened: bool = False
    norm: bool = False
    candidates: int = 0
    hints: int = 0

    def __post_init__(self):
        object.__setattr__(self, "widths", tuple(self.widths))
        if not isinstance(self.blocks, int):
            object.__setattr__(self, "blocks", tuple(self.blocks))
        check_types(self)
        rules = [
            ("channels", self.channels in (1, 3), "1 or 3"),
            ("kernel_size", self.kernel_size in (1, 3, 5, 7), "1, 3, 5 or 7"),
            (
                "widths",
                1 <= len(self.widths) <= 6 and 1 <= min(self.widths) <= max(self.widths) <= _WIDEST,
                f"1 to 6 numbers of 1 to {_WIDEST}",
            ),
            (
                "blocks",
                len(self.blocks_of_levels) == len(self.widths)
                and 1 <= min(self.blocks_of_levels) <= max(self.blocks_of_levels) <= _MOST_BLOCKS,
                f"1 to {_MOST_BLOCKS}, or such a number for each of the widths",
            ),
            ("block", self.block in BLOCKS, f"one of {', '.join(BLOCKS)}"),
            ("stride", self.stride in (1, 2), "1 or 2"),
            ("recurrence", self.recurrence in RECURRENCES, f"one of {', '.join(RECURRENCES)}"),
            ("scales", 1 <= self.scales <= 5, "1 to 5"),
            ("patch", self.patch in (1, 2, 4), "1, 2 or 4"),
            ("whitened", not self.whitened or self.patch > 1, "off where patch is 1"),
            ("whitened", not self.whitened or self.residual, "off unless residual is on"),
            ("norm", not self.norm or self.block == "residual", "off for plain blocks"),
            ("candidates", 0 <= self.candidates <= 16, "0 to 16"),
            ("candidates", not self.candidates or self.residual, "0 unless residual is on"),
            ("hints", 0 <= self.hints <= 16, "0 to 16"),
        ]
        check_rules(self, rules)

    @property
    def pictures(self) -> int:
        """Of a training example: the blurred one, those that come with it, and the sharp one."""
        return 2 + self.candidates + self.hints

    @property
    def input_channels(self) -> int:
        """Of the blurred picture and those that come with it."""
        return self.channels * (1 + self.candidates + self.hints)

    @property
    def blocks_of_levels(self) -> tuple[int, ...]:
        """Blocks of a stage at each level, finest first."""
        many = isinstance(self.blocks, tuple)
        return self.blocks if many else (self.blocks,) * len(self.widths)

    @property
    def size_multiple(self) -> int:
        """Height and width of the input must be multiples of this (16 in the paper's network)."""
        return 2 ** (self.scales - 1) * self.stride ** (len(self.widths) - 1) * self.patch

    @property
    def least_parameters(self) -> int:
        """A lower bound of the parameters: the kernels of the blocks of encoder and decoder."""
        levels = zip(self.widths, self.blocks_of_levels, strict=True)
        kernels = sum(4 * blocks * (self.kernel_size * width) ** 2 for width, blocks in levels)
        return kernels * (1 if self.shared else self.scales)


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
        check_types(self)
        check_rules(
            self,
            [
                ("channels", self.channels in (1, 3), "1 or 3"),
                ("kernel_size", self.kernel_size in (1, 3, 5, 7), "1, 3, 5 or 7"),
                ("width", 1 <= self.width <= _WIDEST, f"1 to {_WIDEST}"),
                ("blocks", 1 <= self.blocks <= _MOST_BLOCKS, f"1 to {_MOST_BLOCKS}"),
                ("scales", 1 <= self.scales <= 5, "1 to 5"),
            ],
        )

    candidates = 0
    pictures = 2  # of a training example: blurred and sharp

    @property
    def input_channels(self) -> int:
        """Of the blurred picture."""
        return self.channels

    @property
    def size_multiple(self) -> int:
        """Height and width of the input must be multiples of this."""
        return 2 ** (self.scales - 1)

    @property
    def least_parameters(self) -> int:
        """A lower bound of the parameters: the kernels of the blocks."""
        return self.scales * self.blocks * 2 * (self.kernel_size * self.width) ** 2


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
        check_types(self)
        check_rules(
            self,
            [
                ("channels", self.channels in (1, 3), "1 or 3"),
                (
                    "widths",
                    len(self.widths) == 3 and 1 <= min(self.widths) <= max(self.widths) <= _WIDEST,
                    f"3 numbers of 1 to {_WIDEST}",
                ),
                ("scales", 1 <= self.scales <= 5, "1 to 5"),
            ],
        )

    candidates = 0
    pictures = 2  # of a training example: blurred and sharp

    @property
    def input_channels(self) -> int:
        """Of the blurred picture."""
        return self.channels

    @property
    def size_multiple(self) -> int:
        """Height and width of the input must be multiples of this."""
        return 2 ** (self.scales + 1)

    @property
    def least_parameters(self) -> int:
        """A lower bound of the parameters: one 3x3 kernel of each level at each scale."""
        return self.scales * sum(9 * width**2 for width in self.widths)


ARCHITECTURES = {"srn": SRNConfig, "mscnn": MSCNNConfig, "pss_nsc": PSSNSCConfig}
NetworkConfig = SRNConfig | MSCNNConfig | PSSNSCConfig

# A picture's squares of 4x4 are its channels.
_FAST = SRNConfig(
    kernel_size=3,
    widths=(64, 128, 192),
    blocks=(2, 3, 3),
    recurrence="sum",
    residual=True,
    patch=4,
    whitened=True,
    norm=True,
)
MODELS = {
    # The three models the authors released.
    "lstm": SRNConfig(channels=1, recurrence="lstm"),
    "gray": SRNConfig(channels=1),
    "color": SRNConfig(),
    # This project's: the paper's network on colour pictures, and with a global residual.
    "color_lstm": SRNConfig(recurrence="lstm"),
    "color_lstm_residual": SRNConfig(recurrence="lstm", residual=True),
    # This project's: for few multiplications.
    "fast": _FAST,
    "fast_small": dataclasses.replace(_FAST, widths=(32, 64, 128), blocks=(1, 2, 3)),
    # The same beside deconvolutions of the picture, chosen from pixel by pixel.
    "chooser": dataclasses.replace(_FAST, candidates=3, hints=1),
    # Table 1 of the paper.
    "ss": SRNConfig(kernel_size=3, recurrence="conv", scales=1),
    "sc": SRNConfig(kernel_size=3, recurrence="conv", shared=False),
    "wo_r": SRNConfig(kernel_size=3, recurrence="conv"),
    "rnn": SRNConfig(kernel_size=3, recurrence="rnn"),
    "sr_flat": SRNConfig(kernel_size=3, recurrence="conv", stride=1, block="plain"),
    "sr_rb": SRNConfig(kernel_size=3, recurrence="conv", stride=1),
    "sr_ed": SRNConfig(kernel_size=3, recurrence="lstm", block="plain"),
    "sr_edrb1": SRNConfig(kernel_size=3, recurrence="lstm", blocks=1),
    "sr_edrb2": SRNConfig(kernel_size=3, recurrence="lstm", blocks=2),
    "sr_edrb3": SRNConfig(kernel_size=3, recurrence="lstm"),
    # The networks before and after it.
    "mscnn": MSCNNConfig(),
    "pss_nsc": PSSNSCConfig(),
}


def model_config(name: str, **overrides) -> NetworkConfig:
    """The configuration of a named model, with some fields replaced.

    Raises:
        UserError: for an unknown name, an unknown field, or a value outside its rule.
    """
    if name not in MODELS:
        raise UserError(f"no model named {name!r}; there are {', '.join(MODELS)}")
    fields = [field.name for field in dataclasses.fields(MODELS[name])]
    for option in overrides:
        if option not in fields:
            raise UserError(f"{name} has no option {option!r}; there are {', '.join(fields)}")
    return dataclasses.replace(MODELS[name], **overrides)


# What makes a network larger or smaller, but not another.
_SIZES = {"kernel_size", "widths", "width", "blocks", "norm", "whitened"}


def names_of(config: NetworkConfig) -> list[str]:
    """The named models that a configuration is a variant of, the most alike first."""

    def differences(name: str) -> tuple[float, float]:
        other = MODELS[name]
        if type(other) is not type(config):
            return math.inf, math.inf
        fields = [field.name for field in dataclasses.fields(config)]
        differ = {field for field in fields if getattr(other, field) != getattr(config, field)}
        return len(differ - _SIZES), len(differ & _SIZES)

    names = sorted(MODELS, key=differences)
    return [name for name in names if differences(name)[0] == differences(names[0])[0]]


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
