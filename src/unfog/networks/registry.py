"""The registry of networks: an entry takes ``in_channels``, ``out_channels``, ``dims``, what a
context may hold (``vector_width``, ``spatial_channels``, ``token_width``), and its own keys.
"""

from __future__ import annotations

from unfog.core.registry import Registry
from unfog.networks.network import Network

networks: Registry[Network] = Registry("network")
