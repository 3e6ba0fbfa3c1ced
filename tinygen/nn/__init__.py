"""Layers: modules with named parameters.  Constructor words follow PyTorch; images are (N, H, W, C)."""

from . import init
from .activation import ELU, GELU, LeakyReLU, ReLU, Sigmoid, Softplus, Tanh
from .container import Dropout, Sequential
from .conv import Conv2d, ConvTranspose2d, MaskedConv2d
from .linear import Linear
from .module import Buffer, Module, Parameter
from .norm import BatchNorm, LayerNorm, WeightNormLinear
from .pooling import AvgPool2d, Flatten, MaxPool2d, Reshape, Upsample

__all__ = [
    "ELU", "GELU", "AvgPool2d", "BatchNorm", "Buffer", "Conv2d", "ConvTranspose2d", "Dropout", "Flatten", "LayerNorm",
    "LeakyReLU", "Linear", "MaskedConv2d", "MaxPool2d", "Module", "Parameter", "ReLU", "Reshape", "Sequential",
    "Sigmoid", "Softplus", "Tanh", "Upsample", "WeightNormLinear", "init",
]  # fmt: skip
