"""Times of day: where the sun stands, the colours of sun, sky and haze, and how many lamps are lit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from toy_street.camera import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Light:
    """Colours are RGB in 0..1. `sun` (3,) points towards the sun; `haze_density` is per metre.

    `lamps` and `clouds`, 0..1, say how many lamps are lit and how much of the sky is covered.
    """

    sun: Array
    sun_colour: Array
    ambient: Array
    zenith: Array
    horizon: Array
    haze_density: float
    lamps: float
    clouds: float

    def lit(self, albedo: Array, normal: Array) -> Array:
        """The colour (..., 3) of a matt surface with unit `normal` (..., 3)."""
        sky = 0.85 + 0.15 * normal[..., 1:2]
        sun = np.maximum(normal @ self.sun, 0.0)[..., None]
        return albedo * (self.ambient * sky + self.sun_colour * sun)

    def soft(self, albedo: Array, sunlit: Array | float) -> Array:
        """The colour (..., 3) of something round or loose, of which the share `sunlit` faces the sun."""
        return albedo * (self.ambient + self.sun_colour * sunlit)

    def hazed(self, colour: Array, depth: Array) -> Array:
        """`colour` (..., 3) seen through `depth` (...) metres of air."""
        clear = np.exp(-self.haze_density * depth)[..., None]
        return colour * clear + self.horizon * (1 - clear)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hour:
    elevation: tuple[float, float]  # of the sun, in degrees
    sun: tuple[float, float, float]
    ambient: tuple[float, float, float]
    zenith: tuple[float, float, float]
    horizon: tuple[float, float, float]
    haze: tuple[float, float]
    lamps: float
    clouds: tuple[float, float]


_HOURS = (
    _Hour(  # morning
        elevation=(18, 30), sun=(0.78, 0.66, 0.50), ambient=(0.50, 0.54, 0.62),
        zenith=(0.36, 0.57, 0.84), horizon=(0.95, 0.90, 0.82), haze=(0.006, 0.016), lamps=0.05, clouds=(0.2, 0.6),
    ),
    _Hour(  # noon
        elevation=(42, 65), sun=(0.72, 0.68, 0.60), ambient=(0.50, 0.54, 0.60),
        zenith=(0.18, 0.44, 0.82), horizon=(0.76, 0.87, 0.96), haze=(0.002, 0.008), lamps=0.0, clouds=(0.1, 0.6),
    ),
    _Hour(  # golden hour
        elevation=(8, 16), sun=(0.95, 0.62, 0.30), ambient=(0.50, 0.48, 0.56),
        zenith=(0.36, 0.47, 0.72), horizon=(1.00, 0.80, 0.55), haze=(0.006, 0.018), lamps=0.15, clouds=(0.3, 0.7),
    ),
    _Hour(  # overcast
        elevation=(40, 60), sun=(0.12, 0.12, 0.12), ambient=(0.76, 0.79, 0.82),
        zenith=(0.66, 0.71, 0.76), horizon=(0.87, 0.89, 0.90), haze=(0.008, 0.022), lamps=0.15, clouds=(0.8, 1.0),
    ),
    _Hour(  # dusk
        elevation=(3, 6), sun=(0.16, 0.09, 0.08), ambient=(0.46, 0.46, 0.60),
        zenith=(0.20, 0.25, 0.50), horizon=(0.98, 0.64, 0.50), haze=(0.004, 0.012), lamps=0.6, clouds=(0.3, 0.7),
    ),
)  # fmt: skip


def random_light(rng: np.random.Generator) -> Light:
    """A time of day and a weather."""
    hour = _HOURS[rng.choice(len(_HOURS), p=(0.22, 0.3, 0.2, 0.18, 0.1))]
    elevation = math.radians(rng.uniform(*hour.elevation))
    azimuth = rng.uniform(-math.pi, math.pi)
    flat = math.cos(elevation)
    exposure = rng.uniform(0.92, 1.1)
    return Light(
        sun=np.array((flat * math.sin(azimuth), math.sin(elevation), flat * math.cos(azimuth))),
        sun_colour=exposure * np.array(hour.sun),
        ambient=exposure * np.array(hour.ambient),
        zenith=np.array(hour.zenith) * rng.uniform(0.92, 1.08),
        horizon=np.array(hour.horizon) * rng.uniform(0.95, 1.0),
        haze_density=rng.uniform(*hour.haze),
        lamps=hour.lamps,
        clouds=rng.uniform(*hour.clouds),
    )
