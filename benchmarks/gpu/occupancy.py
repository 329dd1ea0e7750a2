"""How many blocks of a kernel a multiprocessor holds at a time.

Sizes are those of the CUDA programming guide, table «Technical Specifications per Compute Capability»; how registers
and shared memory are handed out is that of CUDA's occupancy calculator.
"""

from __future__ import annotations

from dataclasses import dataclass

REGISTERS = 65536  # of every multiprocessor here
PARTITIONS = 4  # each with its part of the registers, for every fourth warp of a block


@dataclass(frozen=True, slots=True)
class Multiprocessor:
    """What it has room for. `reserved` bytes a block are not in the bytes that cuobjdump names."""

    warps: int
    blocks: int
    shared_kib: int
    shared_unit: int = 128
    reserved: int = 0


MULTIPROCESSORS = {
    75: Multiprocessor(32, 16, 64, shared_unit=256),
    80: Multiprocessor(64, 32, 164, reserved=1024),
    86: Multiprocessor(48, 16, 100, reserved=1024),
    89: Multiprocessor(48, 24, 100, reserved=1024),
    90: Multiprocessor(64, 32, 228),
    100: Multiprocessor(64, 32, 228),
    120: Multiprocessor(48, 24, 100),
}


def resident_blocks(architecture: int, *, threads: int, registers: int, shared_bytes: int) -> int:
    """Of `threads`, each with `registers`, and together with `shared_bytes` as cuobjdump names them."""
    of = MULTIPROCESSORS[architecture]
    warps = -(-threads // 32)
    registers_of_warp = -(-registers * 32 // 256) * 256
    warps_with_registers = REGISTERS // PARTITIONS // registers_of_warp * PARTITIONS
    shared = -(-(shared_bytes + of.reserved) // of.shared_unit) * of.shared_unit
    by_shared = of.shared_kib * 1024 // shared if shared else of.blocks
    return min(of.blocks, of.warps // warps, warps_with_registers // warps, by_shared)
