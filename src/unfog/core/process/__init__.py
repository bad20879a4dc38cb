"""Forward processes, one schedule a class; importing this package registers them all by name."""

from unfog.core.process.additive import EDM, VarianceExploding
from unfog.core.process.base import REMEMBERED, Instant, Process, processes, require_growth
from unfog.core.process.flow import RectifiedFlow
from unfog.core.process.tabulated import Tabulated, ddpm_cosine, ddpm_linear, ddpm_scaled_linear
from unfog.core.process.variance_preserving import (
    SubVariancePreserving,
    VariancePreserving,
    VPCosine,
    VPLinear,
    VPScaledLinear,
)
from unfog.core.process.zero_snr import zero_snr

__all__ = [
    "EDM",
    "REMEMBERED",
    "Instant",
    "Process",
    "RectifiedFlow",
    "SubVariancePreserving",
    "Tabulated",
    "VPCosine",
    "VPLinear",
    "VPScaledLinear",
    "VarianceExploding",
    "VariancePreserving",
    "ddpm_cosine",
    "ddpm_linear",
    "ddpm_scaled_linear",
    "processes",
    "require_growth",
    "zero_snr",
]
