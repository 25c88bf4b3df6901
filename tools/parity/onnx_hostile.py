"""Writes small hostile ONNX files: loops, missing operands, growing tensors, corrupt tensors.

    tools/parity/.venv/bin/python tools/parity/onnx_hostile.py
"""

from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

OUT = Path(__file__).resolve().parents[2] / "onnx/src/test/resources/hostile"


def model(nodes, constants=None, output="y", shape=(1, 3, 32, 32)):
    graph = helper.make_graph(
        nodes,
        "hostile",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs, outputs, **attributes)


WEIGHT = {"w": np.ones((4, 3, 3, 3), np.float32)}
INDEX = np.array([0], np.int64)


def doubling():
    """A list of extents that is repeatedly concatenated with itself."""
    nodes = [node("Concat", [f"c{i}"] * 60, [f"c{i + 1}"], axis=0) for i in range(30)]
    return model([*nodes, node("Reshape", ["x", "c30"], ["y"])], {"c0": INDEX})


def wide():
    """Empty weights with 2^40 channels."""
    result = model([node("Conv", ["x", "w"], ["y"])])
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 40, 0, 3, 3], raw_data=b"")
    result.graph.initializer.append(tensor)
    return result


def unpacked():
    """Integers that are not packed: each has its own field."""
    text = model([node("Reshape", ["x", "c"], ["y"])])
    tensor = TensorProto(name="c", data_type=TensorProto.INT64, dims=[30_000]).SerializeToString()
    tensor += b"\x38\x01" * 30_000  # int64_data, wire type 0
    graph = text.graph.SerializeToString() + b"\x2a" + varint(len(tensor)) + tensor
    text.ClearField("graph")
    return text.SerializeToString() + b"\x3a" + varint(len(graph)) + graph


def varint(value):
    result = b""
    while value > 127:
        result += bytes([value & 127 | 128])
        value >>= 7
    return result + bytes([value])


def nested():
    """Nested groups, which protobuf skips recursively."""
    return b"\x1b" * 50_000


FILES = {
    "loop-cast": model([node("Cast", ["y"], ["y"], to=1)]),
    "loop-two": model([node("Relu", ["b"], ["a"]), node("Relu", ["a"], ["b"])], output="b"),
    "loop-block": model(
        [
            node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
            node("Relu", ["y"], ["r"]),
            node("Add", ["c", "r"], ["y"]),
        ],
        WEIGHT,
    ),
    "no-operand-identity": model([node("Identity", [], ["y"])]),
    "no-operand-conv": model([node("Conv", [], ["y"])]),
    "no-operand-relu": model([node("Conv", ["x", "w"], ["c"]), node("Relu", [], ["y"])], WEIGHT),
    "no-operand-add": model([node("Conv", ["x", "w"], ["c"]), node("Add", ["c"], ["y"])], WEIGHT),
    "no-result": model([node("Conv", ["x", "w"], [])], WEIGHT),
    "slice-of-a-number": model(
        [node("Slice", ["s", "m", "m", "z", "m"], ["c"]), node("Reshape", ["x", "c"], ["y"])],
        {"s": np.array(5, np.int64), "m": INDEX - 1, "z": INDEX},
    ),
    "filled": model(
        [node("ConstantOfShape", ["n"], ["c"]), node("Add", ["x", "c"], ["y"])],
        {"n": np.array([1 << 20] * 4, np.int64)},
    ),
    "tiled": model(
        [node("Tile", ["c", "n"], ["d"]), node("Add", ["x", "d"], ["y"])],
        {"c": np.ones((1, 1), np.float32), "n": np.array([1 << 20] * 2, np.int64)},
    ),
    "doubling": doubling(),
    "wide": wide(),
    "unpacked": unpacked(),
    "nested": nested(),
}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for name, content in FILES.items():
        data = content.SerializeToString() if isinstance(content, ModelProto) else content
        (OUT / f"{name}.onnx").write_bytes(data)


if __name__ == "__main__":
    main()
