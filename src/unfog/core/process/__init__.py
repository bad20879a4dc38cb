"""The forward process, one equation a class; importing this package registers every schedule by name."""

from unfog.core.process.flow import RectifiedFlow, SubVariancePreserving, VarianceExploding
from unfog.core.process.variance_preserving import (
    EDM,
    Process,
    Tabulated,
    VariancePreserving,
    VPCosine,
    VPLinear,
    VPScaledLinear,
    ddpm_cosine,
    ddpm_linear,
    ddpm_scaled_linear,
    processes,
    require_growth,
)
from unfog.core.process.zero_snr import zero_snr

__all__ = [
    "EDM",
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
