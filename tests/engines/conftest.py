"""The exported networks."""

from exported_nets import conv_net, transformer

__all__ = ["conv_net", "transformer"]
