"""What `loop.amp` means on a device."""

from __future__ import annotations

import torch

from ifrkit.core.machine import computes_bfloat16

_TYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def computed_in(amp: str, device: torch.device) -> str:
    """off, bf16 or fp16. auto is bf16 where the device has instructions for it, else off."""
    if amp != "auto":
        return amp
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "off"
    return "bf16" if computes_bfloat16() else "off"


def autocast(amp: str, device: torch.device) -> torch.autocast:
    """For forward passes. Backward passes follow them."""
    amp = computed_in(amp, device)
    return torch.autocast(device.type, _TYPES[amp], enabled=amp != "off")
