"""SSCD's place is taken by a small network of the same signature, made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from unfog.errors import InputError
from unfog.evaluation.sscd import SIDE, SSCD


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A network from bytes (batch, height, width, 3) to the 4 x 4 means of each colour."""
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto
    cell = SIDE // 4
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=kind.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node(
            "AveragePool", ["planes"], ["cells"], kernel_shape=[cell] * 2, strides=[cell] * 2
        ),
        helper.make_node("Flatten", ["cells"], ["embedding"], axis=1),
    ]
    image = helper.make_tensor_value_info("image", kind.UINT8, ["batch", "height", "width", 3])
    out = helper.make_tensor_value_info("embedding", kind.FLOAT, ["batch", 48])
    graph = helper.make_graph(nodes, "means", [image], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    path = tmp_path / "means.onnx"
    onnx.save(model, str(path))
    return path


def test_descriptors_are_those_of_the_network_on_enlarged_bytes(file):
    x = torch.rand(11, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    found = SSCD(file).of(x)
    large = torch.nn.functional.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True)
    cells = torch.nn.functional.avg_pool2d((255 * large).round(), SIDE // 4).flatten(1)
    expected = cells / cells.norm(dim=1, keepdim=True)
    assert found.shape == (11, 48)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-4)


def test_a_picture_is_like_itself_and_grey_is_three_colours(file):
    judge = SSCD(file)
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    assert judge.similarity(x, x).tolist() == pytest.approx([1.0] * 3, abs=1e-5)
    torch.testing.assert_close(judge.of(x), judge.of(x.expand(-1, 3, -1, -1)))
    assert float(judge.similarity(x, x.flip(0))[0]) < 0.999


def test_what_is_no_such_network_is_refused(file, tmp_path):
    (tmp_path / "no.onnx").write_bytes(b"nothing")
    with pytest.raises(InputError, match="no network"):
        SSCD(tmp_path / "no.onnx")
    with pytest.raises(InputError, match="no file"):
        SSCD(tmp_path / "absent.onnx")
    with pytest.raises(InputError, match="pictures in grey or colour"):
        SSCD(file).of(torch.zeros(2, 5))
