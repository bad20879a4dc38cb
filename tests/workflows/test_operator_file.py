"""Operators from files: composed in the order they act, and self-tested before they are used."""

import numpy
import pytest
import torch

from unfog.errors import InputError
from unfog.physics.blur import Blur, gaussian_kernel
from unfog.physics.operators import BlockAverage, Grey, Identity
from unfog.physics.registry import operators
from unfog.workflows.operator_file import read_operator

X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_a_list_acts_from_first_to_last(tmp_path):
    (tmp_path / "joint.yaml").write_text(
        "- {name: blur, deviation: 0.6}\n- {name: blocks, factor: 2}\n- grey\n"
    )
    y = Grey()(BlockAverage(2)(Blur(gaussian_kernel(0.6))(X)))
    found = read_operator(tmp_path / "joint.yaml", y, 3)
    assert torch.allclose(found(X), y, atol=1e-6)
    with pytest.raises(InputError, match="does not make"):
        read_operator(tmp_path / "joint.yaml", y, 1)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("identity", (3, 8, 8)),
        ("{name: channels, kept: [2, 0], count: 3}", (2, 8, 8)),
        ("{name: gain, factor: 0.2}", (3, 8, 8)),
        ("{name: kernel, values: [[0.5, 0.5]]}", (3, 8, 8)),
        ("{name: downsample, deviation: 0.5, factor: 2}", (3, 4, 4)),
        ("{name: parallel-beam, angles: [0, 45, 90], size: 8}", (3, 3, 8)),
        (
            "{name: fan-beam, angles: [0, 90], size: 8, radius: 20, detectors: 9, opening: 40}",
            (3, 2, 9),
        ),
        ("[complex, fourier]", (6, 8, 8)),
    ],
)
def test_every_operator_is_built_and_passes_the_self_test(tmp_path, text, shape):
    (tmp_path / "one.yaml").write_text(text)
    assert read_operator(tmp_path / "one.yaml", torch.zeros(1, *shape), 3)(X).shape[1:] == shape


def test_a_wrong_adjoint_is_refused(tmp_path, monkeypatch):
    class Wrong(Identity):
        def adjoint(self, y):
            return 1.1 * y

    monkeypatch.setattr(operators, "_entries", {**operators._entries, "wrong": Wrong})
    (tmp_path / "wrong.yaml").write_text("[identity, wrong]")
    with pytest.raises(InputError, match="mend its adjoint"):
        read_operator(tmp_path / "wrong.yaml", X, 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{name: mask, mask: ../secret.npy}", "'mask' names '../secret.npy', outside"),
        ("{name: mask, mask: PLACE/secret.npy}", "outside the operator file's folder"),
        ("{name: mask, mask: link.npy}", "outside the operator file's folder"),
        ("{name: parallel-beam, angles: [0], size: 1000000000}", "asks for 2.4e+10 GB"),
        ("{name: parallel-beam, angles: [0], size: 12000}", "of 12000 detectors"),
        ("[{name: blocks, factor: 4000}, {name: blocks, factor: 4000}]", "asks for"),
        ("{name: blur, deviation: 1.0e+9}", "asks for"),
        ("{name: blur, deviation: .inf}", "'deviation' of operator 'blur' must be from 0"),
    ],
)
def test_what_lies_elsewhere_or_is_too_large_is_refused(tmp_path, text, words):
    numpy.save(tmp_path / "secret.npy", numpy.ones((8, 8)))
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "link.npy").symlink_to(tmp_path / "secret.npy")
    path = tmp_path / "given" / "operator.yaml"
    path.write_text(text.replace("PLACE", str(tmp_path)))
    with pytest.raises(InputError) as error:
        read_operator(path, X, 3)
    assert words in str(error.value)
