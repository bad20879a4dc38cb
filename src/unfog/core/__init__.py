"""The one idea, x_t = alpha(t) x_0 + sigma(t) noise, and the words every system is made of."""

from unfog.core import families as families  # processes that are to be found by name
from unfog.core import zero_snr as zero_snr
