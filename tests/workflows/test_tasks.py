"""The one table of tasks: its rows name what is there, and what means nothing is refused."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from support.commands import invoke

from unfog.errors import InputError
from unfog.workflows.tasks import PURPOSES, TASKS, calibrated_tasks, function, task_named

PARAMETERS = {
    "reader": ["run", "paths", "task", "options"],
    "operator": ["run", "options"],
    "workflow": ["source", "paths", "task", "out", "options", "draws"],
}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_row_names_functions_of_the_right_form(task):
    for field, names in PARAMETERS.items():
        reference = getattr(task, field)
        if reference is not None:
            assert list(inspect.signature(function(reference)).parameters) == names
    assert task.takes <= set(PURPOSES)
    assert task.needs is None or task.needs in task.takes


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_options_are_checked_by_the_table(task):
    """What is needed must be there, and what is not taken must not."""
    inputs = [Path("a"), Path("b")] if task.several else [Path("a")]
    needed = {} if task.needs is None else {task.needs: "file"}
    nothing = dict.fromkeys((option.replace("-", "_") for option in PURPOSES), None)
    task.check(inputs, **{**nothing, **needed})
    for option in PURPOSES:
        given = {**nothing, **needed, option.replace("-", "_"): "file"}
        if option in task.takes:
            task.check(inputs, **given)
        else:
            with pytest.raises(InputError, match=f"not for {task.name}; leave --{option} out"):
                task.check(inputs, **given)
    if task.needs:
        with pytest.raises(InputError, match=f"give --{task.needs}"):
            task.check(inputs, **nothing)
    with pytest.raises(InputError, match=r"exposures|one input"):
        task.check(inputs[:1] if task.several else inputs * 2, **{**nothing, **needed})


def test_both_commands_offer_the_table():
    for command, names in (("restore", list(TASKS)), ("calibrate-uncertainty", calibrated_tasks())):
        _, out, _ = invoke(f"{command} --help")
        assert "|".join(names) in "".join(out.split())
    assert set(TASKS) - set(calibrated_tasks()) == {
        "inpaint",
        "lowlight",
        "hdr",
        "shading",
        "custom",
        "declip",
        "dereverb",
    }
    with pytest.raises(InputError, match="did you mean 'denoise'"):
        task_named("denoize")
