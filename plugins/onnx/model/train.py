"""Trains pump.onnx: a small network that scores a pump's [temp, vib] from 0 (healthy) to 1 (failing).

The data is generated, not measured. Bearing temperature in degrees Celsius and vibration velocity in
mm/s (RMS) follow the pump's load; the zones are those of ISO 10816-3 for machines of medium size: up
to 4.5 mm/s is fit for long operation, above 7.1 mm/s damage is likely. A stopped pump is healthy.
The same seed gives the same file, byte for byte, on the same numpy and onnx.

    python3 -m venv /tmp/train && /tmp/train/bin/pip install numpy==2.4.6 onnx==1.23.2
    /tmp/train/bin/python plugins/onnx/model/train.py
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SEED = 20
ROWS = 40_000
HIDDEN = 16
STEPS = 3_000
BATCH = 512
LEARNING_RATE = 3e-3


def generate(rng):
    """Rows of (temp, vib) and whether each comes from a failing pump."""
    quarter = ROWS // 4
    load = rng.uniform(0.1, 1.0, ROWS)
    ambient = rng.uniform(5, 35, ROWS)
    temp = ambient + 15 + 35 * load + rng.normal(0, 2, ROWS)
    vib = 0.6 + 2.4 * load + rng.normal(0, 0.35, ROWS)
    failing = np.zeros(ROWS, bool)
    # The second quarter stands still: ambient temperature, next to no vibration.
    stopped = slice(quarter, 2 * quarter)
    temp[stopped] = ambient[stopped] + rng.normal(0, 1, quarter)
    vib[stopped] = np.abs(rng.normal(0, 0.1, quarter))
    # The third has worn bearings: vibration beyond 4.5 mm/s, and the heat that comes with it.
    worn = slice(2 * quarter, 3 * quarter)
    wear = rng.uniform(0.0, 1.0, quarter)
    vib[worn] += 4.0 + 12 * wear
    temp[worn] += 25 * wear
    failing[worn] = True
    # The fourth overheats: no cooling or no lubrication.
    hot = slice(3 * quarter, ROWS)
    temp[hot] = rng.uniform(98, 150, quarter)
    vib[hot] += rng.uniform(0, 3, quarter)
    failing[hot] = True
    return np.stack([temp, np.maximum(vib, 0)], axis=1).astype(np.float32), failing.astype(np.float32)


def train(rng, x, y):
    """A two-layer perceptron by Adam on the cross entropy."""
    weights = [
        rng.normal(0, np.sqrt(2 / fan_in), (fan_in, fan_out)).astype(np.float32)
        for fan_in, fan_out in [(2, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, 1)]
    ]
    params = [p for w in weights for p in (w, np.zeros(w.shape[1], np.float32))]
    first, second = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params]
    for step in range(1, STEPS + 1):
        rows = rng.integers(0, len(x), BATCH)
        w1, b1, w2, b2, w3, b3 = params
        h1 = np.maximum(x[rows] @ w1 + b1, 0)
        h2 = np.maximum(h1 @ w2 + b2, 0)
        score = 1 / (1 + np.exp(-(h2 @ w3 + b3)))[:, 0]
        d3 = ((score - y[rows]) / BATCH)[:, None].astype(np.float32)
        d2 = (d3 @ w3.T) * (h2 > 0)
        d1 = (d2 @ w2.T) * (h1 > 0)
        gradients = [x[rows].T @ d1, d1.sum(0), h1.T @ d2, d2.sum(0), h2.T @ d3, d3.sum(0)]
        for i, gradient in enumerate(gradients):
            first[i] = 0.9 * first[i] + 0.1 * gradient
            second[i] = 0.999 * second[i] + 0.001 * gradient**2
            corrected = first[i] / (1 - 0.9**step), second[i] / (1 - 0.999**step)
            params[i] = params[i] - np.float32(LEARNING_RATE) * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
    return [p.astype(np.float32) for p in params]


def export(params, mean, scale, path):
    """The network with its normalisation, as one ONNX graph from [N, 2] to [N, 1]."""
    constants = {"mean": mean, "scale": scale}
    constants.update(zip(["w1", "b1", "w2", "b2", "w3", "b3"], params))
    nodes = [
        helper.make_node("Sub", ["features", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["normal"]),
        helper.make_node("Gemm", ["normal", "w1", "b1"], ["z1"]),
        helper.make_node("Relu", ["z1"], ["h1"]),
        helper.make_node("Gemm", ["h1", "w2", "b2"], ["z2"]),
        helper.make_node("Relu", ["z2"], ["h2"]),
        helper.make_node("Gemm", ["h2", "w3", "b3"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["score"]),
    ]
    graph = helper.make_graph(
        nodes,
        "pump",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 2])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N", 1])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, {"inputs": "temp,vib", "outputs": "score"})
    model.doc_string = "Scores a pump from bearing temperature (C) and vibration (mm/s RMS): 0 healthy, 1 failing."
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def main():
    rng = np.random.default_rng(SEED)
    x, y = generate(rng)
    mean, scale = x.mean(0), x.std(0)
    normal = (x - mean) / scale
    params = train(rng, normal, y)
    path = Path(__file__).with_name("pump.onnx")
    export(params, mean, scale, path)

    def score(rows):
        w1, b1, w2, b2, w3, b3 = params
        h = np.maximum((np.array(rows, np.float32) - mean) / scale @ w1 + b1, 0)
        return 1 / (1 + np.exp(-(np.maximum(h @ w2 + b2, 0) @ w3 + b3)))[:, 0]

    accuracy = ((score(x) > 0.5) == (y > 0.5)).mean()
    print(f"{path.name}: {path.stat().st_size} bytes, {accuracy:.2%} of the generated rows told apart")
    for row in [(60, 2), (20, 0), (75, 3.2), (70, 9), (110, 2.5), (95, 14)]:
        print(f"  temp {row[0]:>4} vib {row[1]:>4} -> {score([row])[0]:.4f}")


if __name__ == "__main__":
    main()
