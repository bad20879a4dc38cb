"""The registry of networks: an entry takes ``in_channels`` and ``out_channels`` as well as its own
keys.
"""

from __future__ import annotations

from torch import nn

from unfog.core.registry import Registry

networks: Registry[nn.Module] = Registry("network")
