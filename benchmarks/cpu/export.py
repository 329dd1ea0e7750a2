"""How near every row is to ours in other engines, exported at a small size.

    python -m benchmarks.cpu.export --record benchmarks/records/export.csv [--models NAME ...] [--formats onnx ...]

Rows without a file on this machine have random weights, with semantic attention and position biases (zero before
training) made to count. Compared on the ten bundled scenes, as `semask export` does. `equal` is what it would keep.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import nn

import semask_cli
from benchmarks.cpu.record import record_parser, write_record
from semask_cli.checkpoints.store import on_disk
from semask_cli.export.export_model import compare_with_ours, resized, scenes
from semask_cli.export.formats import ENGINES, FORMATS
from semask_cli.export.graph import trace
from semask_cli.models.network import Network
from semask_cli.zoo import load_zoo

HEIGHT, WIDTH = 128, 256
COUNTS = 0.1  # gamma, and the deviation of biases, where both are zero


def main() -> None:
    parser = record_parser(__doc__)
    parser.add_argument("--models", nargs="*", default=list(load_zoo().models))
    parser.add_argument("--formats", nargs="*", default=["onnx", "openvino"], choices=FORMATS)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = []
    for name in arguments.models:
        spec = load_zoo().find(name)
        trained = on_disk(spec) is not None
        segmenter = semask_cli.load(name, device="cpu", precision="fp32", random_weights=not trained)
        if not trained:
            _make_count(segmenter.network)
        program = trace(segmenter.network, height=HEIGHT, width=WIDTH)
        images = resized(scenes(), spec, height=HEIGHT, width=WIDTH)
        for format in arguments.formats:
            engine = ENGINES[format]
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"network{engine.ending}"
                engine.write(program, path, {})
                megabytes = sum(file.stat().st_size for file in Path(folder).iterdir()) / 1e6
                compared = compare_with_ours(segmenter, engine.run(path), images)
            rows.append({
                "model": name,
                "weights": "trained" if trained else "random",
                "format": format,
                "size": f"{HEIGHT}x{WIDTH}",
                "images": compared.images,
                "difference": f"{compared.difference:.1e}",
                "equal_labels": f"{compared.equal_labels:.6f}",
                "equal": compared.is_equal,
                "megabytes": f"{megabytes:.1f}",
            })  # fmt: skip
            print(rows[-1], flush=True)
            write_record(arguments.record, rows)


@torch.no_grad()
def _make_count(network: Network) -> None:
    torch.manual_seed(0)
    for name, parameter in network.named_parameters():
        if name.endswith("gamma"):
            parameter.fill_(COUNTS)
        elif name.endswith("bias_table"):
            nn.init.normal_(parameter, std=COUNTS)


if __name__ == "__main__":
    main()
