"""The scale-recurrent network in plain PyTorch: what an expert would write there, to compare with.

NCHW in channels_last. Weights come from a network of this package, so that outputs can be compared,
too.
"""

import torch
from torch import nn
from torch.nn import functional

from srn_tf.networks.configs import SRNConfig


class SameConv(nn.Conv2d):
    """A convolution that pads as TensorFlow's SAME on even sizes."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int, stride: int = 1):
        before = (kernel_size - stride) // 2
        after = kernel_size - stride - before
        padding = before if before == after else 0
        super().__init__(inputs, outputs, kernel_size, stride, padding)
        self._margins = None if before == after else (before, after, before, after)

    def forward(self, x):
        return super().forward(functional.pad(x, self._margins) if self._margins else x)


class ResBlock(nn.Module):
    def __init__(self, width: int, kernel_size: int):
        super().__init__()
        self.conv1 = SameConv(width, width, kernel_size)
        self.conv2 = SameConv(width, width, kernel_size)

    def forward(self, x):
        return x + self.conv2(functional.relu(self.conv1(x)))


class ScaleNetwork(nn.Module):
    """Encoder, ConvLSTM where there is one, and decoder."""

    def __init__(self, config: SRNConfig):
        super().__init__()
        size = config.kernel_size

        def blocks(width):
            return nn.Sequential(*(ResBlock(width, size) for _ in range(config.blocks)))

        inputs = (2 * config.channels, *config.widths[:-1])
        self.encoder_convs = nn.ModuleList(
            SameConv(before, width, size, 1 if level == 0 else 2)
            for level, (before, width) in enumerate(zip(inputs, config.widths, strict=True))
        )
        self.encoder_blocks = nn.ModuleList(map(blocks, config.widths))
        deepest = config.widths[-1]
        lstm = config.recurrence == "lstm"
        self.gates = SameConv(2 * deepest, 4 * deepest, 3) if lstm else None
        self.decoder_blocks = nn.ModuleList(map(blocks, config.widths))
        self.enlarging_convs = nn.ModuleList(
            nn.ConvTranspose2d(config.widths[i + 1], config.widths[i], 4, 2, padding=1)
            for i in range(len(config.widths) - 1)
        )
        self.output_conv = SameConv(config.widths[0], config.channels, size)

    def forward(self, x, state):
        features = []
        for conv, blocks in zip(self.encoder_convs, self.encoder_blocks, strict=True):
            x = blocks(functional.relu(conv(x)))
            features.append(x)
        if self.gates is not None:
            hidden, cell = state or (torch.zeros_like(x), torch.zeros_like(x))
            i, j, f, o = self.gates(torch.cat([x, hidden], 1)).chunk(4, 1)
            cell = cell * torch.sigmoid(f + 1) + torch.sigmoid(i) * torch.tanh(j)
            x = torch.tanh(cell) * torch.sigmoid(o)
            state = x, cell
        x = self.decoder_blocks[-1](x)
        for level in reversed(range(len(self.enlarging_convs))):
            x = functional.relu(self.enlarging_convs[level](x)) + features[level]
            x = self.decoder_blocks[level](x)
        return self.output_conv(x), state


def double(x):
    """TensorFlow 1's bilinear enlargement, as `srn_tf.networks.pyramid.upsample`."""
    for axis in (2, 3):
        last = x.shape[axis] - 1
        following = torch.cat([x.narrow(axis, 1, last), x.narrow(axis, last, 1)], axis)
        x = torch.stack([x, (x + following) / 2], axis + 1).flatten(axis, axis + 1)
    return x


class TorchNetwork(nn.Module):
    """Restored pictures, coarse to fine, from a blurred one, float32 [batch, channels, H, W].

    Args:
        model: a `ScaleRecurrentNetwork` of this package with shared weights, ResBlocks, and a
            ConvLSTM or nothing between encoder and decoder.
        dtype: what convolutions compute in.
        training: keep the weights in float32, and compute by autocast.

    Raises:
        ValueError: for another network.
    """

    def __init__(self, model, dtype=torch.bfloat16, training: bool = False):
        super().__init__()
        config = self.config = model.config
        fits = isinstance(config, SRNConfig) and config.shared and config.stride == 2
        if not (fits and config.block == "residual" and config.recurrence in ("lstm", "none")):
            raise ValueError("the PyTorch network is not written for this model")
        self.dtype = dtype
        self.autocast = training and dtype != torch.float32
        self.network = ScaleNetwork(model.config)
        self._take_weights(model.networks[0])
        self.to(memory_format=torch.channels_last)
        if not training:
            self.to(dtype)

    def forward(self, blurred):
        # Entered once: leaving it forgets the weights it has cast.
        with torch.autocast(blurred.device.type, self.dtype, enabled=self.autocast):
            return self._walk(blurred)

    def _walk(self, blurred):
        dtype = torch.float32 if self.autocast else self.dtype
        estimate, state, outputs = None, None, []
        for scale in reversed(range(self.config.scales)):
            image = blurred[:, :, :: 2**scale, :: 2**scale]
            if estimate is None:
                estimate = image
            else:
                estimate = double(estimate.detach())
                state = state and tuple(map(double, state))
            x = torch.cat([image, estimate], 1).contiguous(memory_format=torch.channels_last)
            output, state = self.network(x.to(dtype), state)
            estimate = output.float() + (image if self.config.residual else 0)
            outputs.append(estimate)
        return outputs

    def _take_weights(self, network) -> None:
        own, encoder, decoder = self.network, network.encoder, network.decoder
        pairs = []
        levels = zip(encoder.levels, own.encoder_convs, own.encoder_blocks, strict=True)
        for (conv, *blocks), own_conv, own_blocks in levels:
            pairs += [(conv, own_conv), *_convs(blocks, own_blocks)]
        if own.gates is not None:
            pairs.append((network.cell.conv, own.gates))
        deepest, *finer = decoder.levels
        pairs += _convs(deepest, own.decoder_blocks[-1])
        for i, (enlarge, *blocks) in enumerate(reversed(finer)):
            pairs += [(enlarge, own.enlarging_convs[i]), *_convs(blocks, own.decoder_blocks[i])]
        pairs.append((decoder.output_conv, own.output_conv))
        with torch.no_grad():
            for layer, own_layer in pairs:
                kernel, bias = (torch.tensor(array) for array in layer.get_weights())
                own_layer.weight.copy_(kernel.permute(3, 2, 0, 1))
                own_layer.bias.copy_(bias)


def _convs(blocks, own_blocks):
    for block, own in zip(blocks, own_blocks, strict=True):
        yield block.conv1, own.conv1
        yield block.conv2, own.conv2
