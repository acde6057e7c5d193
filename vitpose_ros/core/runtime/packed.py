"""Layers whose weights lie in memory as oneDNN reads them fastest.

PyTorch reorders the weights of a deconvolution, and of a bfloat16 linear layer, in every call;
these layers do it once, and compute activations along with the product. The operators are those
that torch.compile's CPU code calls (torch/_inductor/mkldnn_lowerings.py), without its minutes of
compilation.
"""

import torch
from torch import Tensor, nn

from vitpose_ros.core.model.decoders import ClassicDecoder
from vitpose_ros.core.model.vit import Mlp, ViTPose

OPERATORS = (
    '_linear_pointwise',
    '_reorder_linear_weight',
    '_convolution_transpose_pointwise',
    '_reorder_convolution_transpose_weight',
    '_is_mkldnn_bf16_supported',
)


class PackedLinear(nn.Module):
    """A linear layer, and an activation: 'none' or 'gelu'."""

    def __init__(self, layer: nn.Linear, activation: str = 'none') -> None:
        super().__init__()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach())
        self.bias = layer.bias.detach()
        self.activation = activation
        self.algorithm = 'none' if activation == 'gelu' else ''  # not the tanh approximation

    def forward(self, values: Tensor) -> Tensor:
        """Map values (..., in) to (..., out)."""
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            values, self.weight, self.bias, self.activation, [], self.algorithm
        )
        return out


class PackedDeconvolution(nn.Module):
    """A transposed convolution followed by ReLU, for inputs of one height and width."""

    def __init__(self, layer: nn.ConvTranspose2d, size: tuple[int, int]) -> None:
        super().__init__()
        self.shape = (
            list(layer.padding),
            list(layer.output_padding),
            list(layer.stride),
            list(layer.dilation),
            layer.groups,
        )
        self.weight = torch.ops.mkldnn._reorder_convolution_transpose_weight(
            layer.weight.detach(), *self.shape, [1, layer.in_channels, *size]
        )
        assert layer.bias is not None, 'batch norm is folded into the bias'
        self.bias = layer.bias.detach()

    def forward(self, features: Tensor) -> Tensor:
        """Map features (n, in, h, w) to (n, out, 2 h, 2 w)."""
        out: Tensor = torch.ops.mkldnn._convolution_transpose_pointwise(
            features, self.weight, self.bias, *self.shape, 'relu', [], ''
        )
        return out


def can_pack(dtype: torch.dtype) -> bool:
    """Tell whether PyTorch and processor have what packed layers of a number type need."""
    operators = torch.ops.mkldnn
    if not all(hasattr(operators, name) for name in OPERATORS):
        return False
    return dtype == torch.float32 or bool(operators._is_mkldnn_bf16_supported())


def pack(network: ViTPose) -> None:
    """Replace layers of a folded network on the CPU.

    Deconvolutions always, linear layers in bfloat16 only: those of float32 go to MKL, which is
    faster.
    """
    if network.backbone.pos_embed.dtype == torch.bfloat16:
        pack_linear(network)
    height, width = network.config.grid_size
    for head in network.heads.values():
        if isinstance(head, ClassicDecoder):
            first, _, _, second, _, _ = head.deconv_layers
            assert isinstance(first, nn.ConvTranspose2d)
            assert isinstance(second, nn.ConvTranspose2d)
            head.deconv_layers = nn.Sequential(
                PackedDeconvolution(first, (height, width)),
                PackedDeconvolution(second, (2 * height, 2 * width)),
            )


def pack_linear(parent: nn.Module) -> None:
    """Replace the linear layers in a module."""
    for module in list(parent.modules()):
        fused = isinstance(module, Mlp)
        for name, layer in list(module.named_children()):
            if isinstance(layer, nn.Linear):
                activation = 'gelu' if fused and name == 'fc1' else 'none'
                setattr(module, name, PackedLinear(layer, activation))
        if isinstance(module, Mlp):
            module.act = nn.Identity()
