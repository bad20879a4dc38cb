"""The page of ``unfog restore``: grey images, colours and planes of volumes."""

import re

import pytest
import torch

from unfog.report.pictures import shown
from unfog.runs.restore import Restored
from unfog.workflows.restore_report import planes, restoration_page

SUMMARY = {
    "noise": 0.1,
    "noise estimated": False,
    "data consistency": 1.0,
    "mean std": 0.2,
    "warnings": [],
    "files": [],
}


def restored(*shape):
    samples = torch.rand(shape[0], 2, *shape[1:], generator=torch.Generator().manual_seed(0))
    return Restored(samples.mean(1), samples.std(1), samples)


@pytest.mark.parametrize(
    ("shape", "images"), [((2, 1, 6, 8), 2), ((2, 3, 6, 8), 2), ((1, 1, 4, 5, 8), 3)]
)
def test_every_image_has_four_pictures_and_a_pair_with_a_slider(shape, images):
    page = restoration_page(SUMMARY, torch.rand(shape), restored(*shape), 1.0, (0, 1))
    html = page.html()
    assert len(re.findall(r'src="data:image/png', html)) == (4 + 2) * images
    assert "NaN" not in html


def test_other_numbers_of_channels_have_no_page():
    assert (
        restoration_page(SUMMARY, torch.rand(1, 2, 6, 8), restored(1, 2, 6, 8), 1.0, (0, 1)) is None
    )


def test_planes_are_axial_and_upright():
    """Feet to head are planes; right is to the right and the front at the top, as the array's axes
    go up.
    """
    x = torch.zeros(1, 1, 4, 5, 8)
    x[0, 0, 3, 4, 4] = 1
    found = planes(x)
    assert found.shape == (3, 1, 5, 4)
    assert float(found[1, 0, 0, 3]) == 1
    assert float(found.sum()) == 1


def test_colours_are_the_images_own():
    image = torch.tensor([1.0, 0.5, 0.0]).view(3, 1, 1).expand(3, 2, 2)
    assert shown(image.numpy())[0, 0].tolist() == [255, 128, 0]
    assert shown(image[:1].numpy())[1, 1].tolist() == [255, 255, 255]
