"""Legacy checkpoints, which are pickles: read as tensors alone, in a process of its own that is
limited in memory and time, and handed over as safetensors.

torch's reader with ``weights_only`` calls nothing that a file names but what makes tensors; the
limits hold off a file that claims more memory or time than it has a use for.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from unfog.errors import InputError

SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".th")
SECONDS = 300
SPARE = 6 << 30  # bytes of address space beside the tensors: torch itself takes some 4 GiB
HOW = "a pickle: tensors alone (weights_only), in a process limited in memory and time"
_NESTED = ("state_dict", "model_state_dict", "model", "module", "ema", "unet_state_dict")
_REFUSED = 3


def to_safetensors_file(source: Path, target: Path) -> None:
    """Write the tensors of a legacy checkpoint as a safetensors file.

    Args:
        source: The checkpoint.
        target: The new file.

    Raises:
        InputError: The file holds other than tensors by name, is damaged, or asks for more memory
            or time than is given.
    """
    size = source.stat().st_size
    command = [sys.executable, "-m", "unfog.interop.pickles", str(source), str(target), str(size)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"{source} was not read within {SECONDS} s; make it a .safetensors."
        ) from error
    if done.returncode == _REFUSED:
        raise InputError(f"{source} {done.stdout.strip()}; make it a .safetensors.")
    if done.returncode != 0 or not target.is_file():
        raise InputError(
            f"{source} could not be read within the memory and time that are given "
            f"(status {done.returncode}); make it a .safetensors."
        )


def _limit(size: int) -> None:
    """Limit this process; only POSIX systems can."""
    try:
        import resource
    except ImportError:
        return
    bounds = {
        resource.RLIMIT_AS: SPARE + 4 * size,
        resource.RLIMIT_CPU: SECONDS,
        resource.RLIMIT_FSIZE: (64 << 20) + 4 * size,
    }
    for kind, bound in bounds.items():
        resource.setrlimit(kind, (bound, bound))


def _convert(source: str, target: str) -> str | None:
    """Write the tensors of a file; why not, where they cannot be."""
    import pickle

    import torch
    from safetensors.torch import save_file

    try:
        held = torch.load(source, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError):
        return "holds other than tensors, or is damaged, and nothing in it was run"
    except MemoryError:
        return "claims more memory than its size"
    for _ in range(2):  # {"state_dict": {...}} and the like
        name = next((n for n in _NESTED if isinstance(held, dict) and n in held), None)
        if name is None or isinstance(held[name], torch.Tensor):
            break
        held = held[name]
    if not isinstance(held, dict):
        return "holds no tensors by name"
    tensors = {str(k): v.contiguous().clone() for k, v in held.items() if torch.is_tensor(v)}
    if not tensors:
        return "holds no tensors by name"
    save_file(tensors, target)
    return None


if __name__ == "__main__":
    _limit(int(sys.argv[3]))
    fault = _convert(*sys.argv[1:3])
    if fault is not None:
        print(fault)  # noqa: T201
        sys.exit(_REFUSED)
