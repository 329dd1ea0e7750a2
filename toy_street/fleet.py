"""The vehicles of the street: cars, buses, trucks and trams, each drawn from a family of shapes and paints."""

from __future__ import annotations

from itertools import chain

import numpy as np

from toy_street.camera import Array
from toy_street.labels import Label
from toy_street.vehicles import Box, Panel, Vehicle

_PAINTS = np.array(
    ((0.80, 0.12, 0.12), (0.12, 0.26, 0.60), (0.92, 0.92, 0.92), (0.12, 0.12, 0.14), (0.62, 0.64, 0.67),
     (0.20, 0.42, 0.30), (0.85, 0.62, 0.15), (0.42, 0.20, 0.22), (0.36, 0.50, 0.66), (0.86, 0.84, 0.76))
)  # fmt: skip
_LIVERIES = np.array(((0.90, 0.72, 0.10), (0.78, 0.14, 0.16), (0.14, 0.42, 0.70), (0.20, 0.55, 0.36)))
_TRAM_LIVERIES = np.array(((0.72, 0.16, 0.18), (0.16, 0.40, 0.36), (0.20, 0.30, 0.55)))
_CARGO = np.array(((0.90, 0.90, 0.88), (0.80, 0.80, 0.78), (0.30, 0.46, 0.66), (0.88, 0.60, 0.22), (0.55, 0.60, 0.50)))
_TRIM = np.array((0.12, 0.12, 0.13))
_CREAM = np.array((0.93, 0.89, 0.78))
_PLATE = np.array((0.9, 0.9, 0.85))
_HEADLIGHT = np.array((1.25, 1.2, 1.05))
_TAIL_LIGHT = np.array((0.95, 0.10, 0.08))


def random_car(rng: np.random.Generator) -> Vehicle:
    """A hatchback, a saloon, an SUV or a van."""
    kind = rng.choice(4, p=(0.35, 0.3, 0.2, 0.15))
    half, shoulder, roof = ((2.0, 0.86, 1.46), (2.3, 0.84, 1.42), (2.25, 1.0, 1.72), (2.4, 1.1, 2.0))[kind]
    # Where cabin and roof begin and end, as shares of `half`.
    cabin = ((-0.96, 0.45), (-0.72, 0.46), (-0.95, 0.48), (-0.98, 0.72))[kind]
    roofline = ((-0.78, 0.10), (-0.42, 0.14), (-0.82, 0.22), (-0.94, 0.38))[kind]
    paint = _PAINTS[rng.integers(len(_PAINTS))] * rng.uniform(0.85, 1.1)
    glass = np.array((0.16, 0.20, 0.25)) * rng.uniform(0.8, 1.5)
    delivery = kind == 3 and rng.random() < 0.6
    upper = Box(
        half_width=(0.86, 0.80) if delivery else (0.84, 0.66), height=(shoulder, roof),
        bottom=(cabin[0] * half, cabin[1] * half), top=(roofline[0] * half, roofline[1] * half),
        albedo=paint, panels=_van_windows(glass) if delivery else _car_windows(glass),
    )  # fmt: skip
    body = Box(
        half_width=(0.90, 0.86), height=(0.28, shoulder),
        bottom=(-half, half), top=(-half * 0.98, half * 0.96), albedo=paint, panels=_car_body(paint),
    )  # fmt: skip
    return Vehicle(
        label=Label.CAR, half_width=0.90, half_length=half, height=roof,
        boxes=(body, upper), axles=(-0.62 * half, 0.64 * half), wheel=0.34,
    )  # fmt: skip


def _car_body(paint: Array) -> tuple[Panel, ...]:
    return (
        ("sides", (0.0, 1.0, 0.0, 0.18), _TRIM),
        ("sides", (0.03, 0.97, 0.66, 0.70), paint * 1.2),
        ("sides", (0.44, 0.448, 0.1, 1.0), paint * 0.6),
        ("sides", (0.66, 0.668, 0.1, 1.0), paint * 0.6),
        ("rear", (0.0, 1.0, 0.0, 0.34), _TRIM * 1.6),
        ("rear", (0.36, 0.64, 0.36, 0.56), _PLATE),
        *_lamps("rear", 0.02, 0.22, 0.60, 0.88),
        ("front", (0.0, 1.0, 0.0, 0.28), _TRIM * 1.6),
        ("front", (0.28, 0.72, 0.34, 0.62), _TRIM),
        ("front", (0.38, 0.62, 0.12, 0.30), _PLATE),
        *_lamps("front", 0.03, 0.24, 0.55, 0.85),
    )


def _car_windows(glass: Array) -> tuple[Panel, ...]:
    return (
        ("rear", (0.08, 0.92, 0.12, 0.88), glass),
        ("front", (0.06, 0.94, 0.06, 0.92), glass * 1.25),
        ("sides", (0.06, 0.46, 0.08, 0.90), glass),
        ("sides", (0.50, 0.93, 0.08, 0.90), glass * 1.1),
    )


def _van_windows(glass: Array) -> tuple[Panel, ...]:
    return (
        ("rear", (0.10, 0.46, 0.4, 0.85), glass),
        ("rear", (0.54, 0.90, 0.4, 0.85), glass),
        ("front", (0.06, 0.94, 0.06, 0.92), glass * 1.25),
        ("sides", (0.72, 0.95, 0.08, 0.90), glass),
    )


def random_bus(rng: np.random.Generator) -> Vehicle:
    """A city bus: a band of windows, doors, a lit destination board."""
    half = rng.uniform(4.6, 6.0)
    livery = _LIVERIES[rng.integers(len(_LIVERIES))] * rng.uniform(0.9, 1.1)
    glass = np.array((0.14, 0.18, 0.22)) * rng.uniform(0.9, 1.4)
    panels: tuple[Panel, ...] = (
        ("sides", (0.0, 1.0, 0.0, 0.10), _TRIM * 1.5),
        ("sides", (0.0, 1.0, 0.10, 0.30), livery * 0.75),
        *_band(np.arange(7) * 0.135 + 0.03, 0.115, 0.46, 0.82, glass),
        *_band(np.array((0.45, 0.87)), 0.09, 0.03, 0.82, glass * 1.5),
        ("sides", (0.0, 1.0, 0.86, 0.93), np.array((0.95, 0.94, 0.9))),
        ("rear", (0.10, 0.90, 0.52, 0.84), glass),
        ("rear", (0.0, 1.0, 0.0, 0.12), _TRIM),
        ("rear", (0.2, 0.8, 0.16, 0.44), livery * 0.6),
        *_lamps("rear", 0.03, 0.14, 0.22, 0.36),
        ("front", (0.04, 0.96, 0.32, 0.82), glass * 1.2),
        ("front", (0.15, 0.85, 0.86, 0.96), np.array((1.2, 0.75, 0.15))),
        ("front", (0.0, 1.0, 0.0, 0.10), _TRIM),
        *_lamps("front", 0.05, 0.20, 0.14, 0.24),
    )
    body = Box(
        half_width=(1.27, 1.22), height=(0.35, 3.05),
        bottom=(-half, half), top=(-half * 0.985, half * 0.975), albedo=livery, panels=panels,
    )  # fmt: skip
    return Vehicle(
        label=Label.BUS, half_width=1.26, half_length=half, height=3.05,
        boxes=(body,), axles=(-0.55 * half, 0.6 * half), wheel=0.48,
    )  # fmt: skip


def random_truck(rng: np.random.Generator) -> Vehicle:
    """A lorry: a cab, and the cargo's box behind it."""
    half = rng.uniform(3.2, 4.2)
    cab_paint = _PAINTS[rng.integers(len(_PAINTS))] * rng.uniform(0.9, 1.1)
    cargo_paint = _CARGO[rng.integers(len(_CARGO))] * rng.uniform(0.9, 1.05)
    glass = np.array((0.15, 0.19, 0.24))
    stripe = _LIVERIES[rng.integers(len(_LIVERIES))]
    chassis = Box(
        half_width=(1.05, 1.05), height=(0.45, 0.95), bottom=(-half, half - 0.2), top=(-half, half - 0.2),
        albedo=_TRIM * 1.6,
        panels=(*_lamps("rear", 0.02, 0.2, 0.3, 0.8), ("rear", (0.36, 0.64, 0.3, 0.8), _PLATE)),
    )  # fmt: skip
    cargo = Box(
        half_width=(1.25, 1.25), height=(0.95, rng.uniform(3.0, 3.5)),
        bottom=(-half, half - 2.0), top=(-half, half - 2.0), albedo=cargo_paint,
        panels=(
            ("sides", (0.0, 1.0, 0.30, 0.62), stripe),
            *_band(np.array((0.25, 0.5, 0.75)), 0.008, 0, 1, cargo_paint * 0.75),
            *_pair("rear", 0.04, 0.49, 0.04, 0.96, cargo_paint * 0.86),
            *_pair("rear", 0.42, 0.46, 0.2, 0.8, _TRIM * 3),
        ),
    )  # fmt: skip
    cab = Box(
        half_width=(1.18, 1.12), height=(0.5, 2.65),
        bottom=(half - 1.85, half), top=(half - 1.85, half - 0.2), albedo=cab_paint,
        panels=(
            ("front", (0.06, 0.94, 0.50, 0.90), glass * 1.2),
            ("front", (0.2, 0.8, 0.16, 0.40), _TRIM),
            *_lamps("front", 0.03, 0.18, 0.08, 0.20),
            ("sides", (0.25, 0.88, 0.52, 0.88), glass),
            ("sides", (0.2, 0.215, 0.1, 0.92), cab_paint * 0.6),
        ),
    )  # fmt: skip
    return Vehicle(
        label=Label.TRUCK, half_width=1.16, half_length=half, height=3.2,
        boxes=(chassis, cargo, cab), axles=(-0.6 * half, -0.25 * half, half - 0.9), wheel=0.5,
    )  # fmt: skip


def random_tram(rng: np.random.Generator) -> Vehicle:
    """A tram: long, pale above and coloured below, a rounded front, low skirts that hide its wheels."""
    half = rng.uniform(7.0, 9.5)
    livery = _TRAM_LIVERIES[rng.integers(len(_TRAM_LIVERIES))]
    glass = np.array((0.13, 0.16, 0.20))
    ends = chain.from_iterable(
        (
            (face, (0.0, 1.0, 0.0, 0.36), livery),
            (face, (0.10, 0.90, 0.40, 0.84), glass * 1.2),
            (face, (0.25, 0.75, 0.88, 0.97), np.array((1.15, 0.8, 0.2))),
        )
        for face in ("rear", "front")
    )
    body = Box(
        half_width=(1.30, 1.22), height=(0.18, 3.25),
        bottom=(-half, half), top=(-half * 0.96, half * 0.96), albedo=_CREAM,
        panels=(
            ("sides", (0.0, 1.0, 0.0, 0.36), livery),
            *_band(np.arange(11) * 0.087 + 0.03, 0.07, 0.42, 0.80, glass),
            *_band(np.array((0.21, 0.47, 0.73)), 0.055, 0.05, 0.82, glass * 1.8),
            ("sides", (0.495, 0.505, 0.0, 1.0), _TRIM * 1.5),
            *ends,
            *_lamps("rear", 0.06, 0.18, 0.16, 0.26),
            *_lamps("front", 0.06, 0.20, 0.14, 0.26),
        ),
    )  # fmt: skip
    roof = Box(
        half_width=(0.9, 0.8), height=(3.25, 3.6),
        bottom=(-half * 0.7, half * 0.7), top=(-half * 0.68, half * 0.68), albedo=_TRIM * 4,
    )  # fmt: skip
    return Vehicle(
        label=Label.TRAIN, half_width=1.28, half_length=half, height=3.6, boxes=(body, roof), axles=(), wheel=0.3
    )


def _lamps(face: str, left: float, right: float, bottom: float, top: float) -> tuple[Panel, ...]:
    return _pair(face, left, right, bottom, top, _HEADLIGHT if face == "front" else _TAIL_LIGHT)


def _pair(face: str, left: float, right: float, bottom: float, top: float, albedo: Array) -> tuple[Panel, ...]:
    """A panel and its mirror image on the other half of the face."""
    return (face, (left, right, bottom, top), albedo), (face, (1 - right, 1 - left, bottom, top), albedo)


def _band(starts: Array, width: float, bottom: float, top: float, albedo: Array) -> tuple[Panel, ...]:
    """Equal panels along both sides."""
    return tuple(("sides", (start, start + width, bottom, top), albedo) for start in starts)
