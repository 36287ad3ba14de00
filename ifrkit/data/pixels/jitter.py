"""Strong views of image methods: colour jitter, grayscale and blur, each with a probability, batched on the device.

The family of SimCLR (Chen et al., ICML 2020), with the constants of each method. torchvision draws the order of the
four jitter steps; here it is fixed (brightness, contrast, saturation, hue).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ifrkit.core.lazy import F, np, torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_GRAY = (0.299, 0.587, 0.114)
_COLUMNS = 6
_RADIUS = 4
"""Blur windows reach this far: two standard deviations of the widest blur in use, 2 pixels."""


@dataclass(frozen=True)
class Jitter:
    """How strong. brightness, contrast, saturation: a factor in 1 - x .. 1 + x; hue: a turn in -x .. x (of 1).

    blur: standard deviation in pixels, drawn from this range.
    """

    brightness: float
    contrast: float
    saturation: float
    hue: float
    probability: float = 0.8
    gray: float = 0.2
    blur: tuple[float, float] = (0.1, 2.0)
    blur_probability: float = 0.5

    def draw(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """(6,) float32: brightness, contrast, saturation, hue, gray (1 or 0), blur; a 0 blur is none."""
        jitters, grays, blurs = rng.random(3) < (self.probability, self.gray, self.blur_probability)
        factors = rng.uniform(-1, 1, 4) * (self.brightness, self.contrast, self.saturation, self.hue)
        sigma = rng.uniform(*self.blur)
        changed = factors * jitters + (1, 1, 1, 0)
        return np.array([*changed, grays, sigma * blurs], np.float32)

    def apply(self, images_b3hw: Tensor, params_bp: Tensor) -> Tensor:
        """uint8 RGB images, each by its own parameters (b, 6); gives uint8 (b, 3, h, w)."""
        turned, grayed, blurred = (params_bp[:, 3:] != 0).any(0).tolist()  # asked where they were drawn: no wait for it
        params = params_bp.to(images_b3hw.device)[:, :, None, None, None]
        brightness, contrast, saturation, hue, gray, blur = params.unbind(1)
        x = (images_b3hw.contiguous().float() / 255 * brightness).clamp(0, 1)  # planes of one colour are faster
        x = _blend(x, _gray(x).mean((2, 3), keepdim=True), contrast)
        x = _blend(x, _gray(x), saturation)
        if turned:
            x = torch.where(hue != 0, turn_hue(x, hue), x)
        if grayed:
            x = torch.where(gray > 0, _gray(x), x)
        if blurred:
            x = torch.where(blur > 0, gaussian_blur(x, blur.flatten()), x)
        return (x * 255).round().to(torch.uint8)


def _gray(x_b3hw: Tensor) -> Tensor:
    return (x_b3hw * x_b3hw.new_tensor(_GRAY).view(1, 3, 1, 1)).sum(1, keepdim=True)


def _blend(x: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    """factor 1: x; factor 0: other."""
    return (other + (x - other) * factor).clamp(0, 1)


def turn_hue(x_b3hw: Tensor, turn_b111: Tensor) -> Tensor:
    """Turn the hue circle of RGB images in 0..1 by a share of a full turn; value and saturation stay."""
    top, bottom = x_b3hw.amax(1, keepdim=True), x_b3hw.amin(1, keepdim=True)
    chroma = top - bottom
    red, green, blue = x_b3hw.chunk(3, 1)
    safe = chroma.clamp(min=1e-6)
    sector = torch.where(
        top == red,
        ((green - blue) / safe) % 6,
        torch.where(top == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    sector = (sector + 6 * turn_b111) % 6
    # Of each channel: 0 at its own two sectors, 1 at the opposite two, linear between.
    offset = x_b3hw.new_tensor([5.0, 3.0, 1.0]).view(1, 3, 1, 1)
    k = (offset + sector) % 6
    return top - chroma * torch.minimum(k, 4 - k).clamp(0, 1)


def gaussian_blur(x_b3hw: Tensor, sigma_b: Tensor) -> Tensor:
    """Each image by its own Gaussian, edges mirrored; sigma 0 gives the image back."""
    b, channels, height, width = x_b3hw.shape
    radius = min(_RADIUS, height - 1, width - 1)
    at = torch.arange(-radius, radius + 1, device=x_b3hw.device, dtype=x_b3hw.dtype)
    kernel = torch.exp(-(at**2) / (2 * sigma_b.clamp(min=1e-3)[:, None] ** 2))
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    flat = F.pad(x_b3hw.reshape(1, b * channels, height, width), (radius,) * 4, mode="reflect")
    flat = F.conv2d(flat, kernel[:, None, None, :], groups=b * channels)
    flat = F.conv2d(flat, kernel[:, None, :, None], groups=b * channels)
    return flat.view(b, channels, height, width)
