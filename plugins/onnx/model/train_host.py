"""Trains host.onnx: scores how strained a machine is from a core's business and its load, 0 to 1.

The data is generated, not measured: `cpu` is a core's busy share in percent, `load` the run queue of the
last minute per core. At ease, load follows business. Strained means that more wants to run than can
(load above one and a busy core), or that work waits without running (load high, core idle: a stuck disk).
The network and its training are those of train.py; the same seed gives the same file.

    /tmp/train/bin/python plugins/onnx/model/train_host.py
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from train import ROWS, export, train

SEED = 21


def generate(rng):
    """Rows of (cpu, load) and whether each comes from a strained machine."""
    half, quarter = ROWS // 2, ROWS // 4
    cpu = rng.uniform(0, 85, ROWS)
    load = cpu / 100 + np.abs(rng.normal(0, 0.12, ROWS))
    strained = np.zeros(ROWS, bool)
    # The third quarter: more wants to run than can.
    busy = slice(half, half + quarter)
    cpu[busy] = rng.uniform(85, 100, quarter)
    load[busy] = rng.uniform(1.2, 8, quarter)
    strained[busy] = True
    # The fourth: work waits and the core idles.
    stuck = slice(half + quarter, ROWS)
    cpu[stuck] = rng.uniform(0, 30, quarter)
    load[stuck] = rng.uniform(1.5, 8, quarter)
    strained[stuck] = True
    return np.stack([cpu, load], axis=1).astype(np.float32), strained.astype(np.float32)


def main():
    rng = np.random.default_rng(SEED)
    x, y = generate(rng)
    mean, scale = x.mean(0), x.std(0)
    params = train(rng, (x - mean) / scale, y)
    path = Path(__file__).with_name("host.onnx")
    export(params, mean, scale, path)
    model = onnx.load(path)
    model.graph.name = "host"
    model.doc_string = "Scores a machine from a core's busy share (%) and load per core: 0 at ease, 1 strained."
    del model.metadata_props[:]
    helper.set_model_props(model, {"inputs": "cpu,load", "outputs": "strain"})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
