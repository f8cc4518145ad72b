"""The exported networks."""

from exported_nets import conv_net, own_state, transformer

__all__ = ["conv_net", "own_state", "transformer"]
