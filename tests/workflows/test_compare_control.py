"""Control in ``unfog compare``: what is drawn as asked scores as real samples do, what is not at
chance.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unfog.data.dataset import ArrayDataset
from unfog.workflows import compare_control
from unfog.workflows.compare_control import controls_of


def squares(count: int) -> ArrayDataset:
    """Squares on the left (0) or the right (1) of noise, with their masks."""
    draw = np.random.default_rng(0)
    side, row = draw.integers(0, 2, count), draw.integers(1, 9, count)
    mask = np.zeros((count, 1, 16, 16), np.uint8)
    for k in range(count):
        mask[k, 0, row[k] : row[k] + 6, 1 + 8 * side[k] : 7 + 8 * side[k]] = 1
    x = (0.6 * mask + draw.normal(0.2, 0.05, mask.shape)).astype(np.float32)
    conditions = {"side": {"name": "class", "count": 2}, "place": {"name": "mask", "classes": 2}}
    codec = {"name": "range", "low": 0, "high": 1}
    return ArrayDataset("squares", x, codec, conditions, {"side": side, "place": mask})


@pytest.mark.slow
def test_classes_and_masks_score_where_they_are_drawn_as_asked(tmp_path, monkeypatch):
    data = squares(160)
    monkeypatch.setattr(compare_control, "TAUGHT", {True: 40, False: 150})
    controls = controls_of(data, torch.arange(60, 160), torch.arange(60))
    assert [control.kind for control in controls] == ["classes", "masks"]
    config = {"conditions": {"side": {}, "place": {}}}
    monkeypatch.setattr(compare_control, "load_config", lambda path: config)
    drawn = {1.0: torch.arange(60), 2.0: torch.arange(60).roll(7), 4.0: torch.arange(60)}

    def draw(run, dataset, ids, seed, guidance):
        return dataset.batch(drawn[guidance])["x"], {}

    monkeypatch.setattr(compare_control, "draw_beside", draw)
    for control in controls:
        found = control.measured(tmp_path, 0)
        # The samples that were asked for score as they are; those of others' conditions do not.
        assert found["guided by 1"] == found["guided by 4"] == found["real"] > 0.9
        assert found["guided by 2"] < 0.7
        # A run that is told nothing has the floor alone.
        config["conditions"].pop(control.name)
        assert set(control.measured(tmp_path, 0)) == {"real"}
