"""From a checkpoint to a model file, as the commands do it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pusht
import pytest
from conftest import GOLDEN, MODELS, command

LEROBOT = GOLDEN / "import" / "lerobot_processors"


def test_an_import_has_the_bytes_of_the_command(tmp_path: Path) -> None:
    pusht.import_checkpoint(LEROBOT).save(tmp_path / "ours.safetensors")
    command("import", LEROBOT, "--out", tmp_path / "theirs.safetensors")
    ours, theirs = (tmp_path / f"{name}.safetensors" for name in ("ours", "theirs"))
    assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize(
    ("name", "bits"),
    [("pusht", {}), ("pusht-small", {"weight_bits": 4, "max_bytes": 65_536})],
)
def test_a_shipped_model_is_made_from_its_float_version(name: str, bits: dict[str, int]) -> None:
    made = pusht.quantize(pusht.Policy(MODELS / f"{name}.safetensors"), **bits)
    assert made.to_bytes() == (MODELS / f"{name}.ptm").read_bytes()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Windows of the task of fetch.safetensors, in a `.npy` file."""
    policy = pusht.info(MODELS / "fetch.safetensors")
    low, high = (np.array([value[end] for value in policy["observation"]]) for end in ("low", "high"))
    random = np.random.default_rng(0)
    windows = random.uniform(low, high, (40, policy["n_obs_steps"], len(low)))
    path = tmp_path_factory.mktemp("recorded") / "windows.npy"
    np.save(path, windows)
    return path


def test_a_quantisation_has_the_bytes_of_the_command(recorded: Path, tmp_path: Path) -> None:
    fetch = MODELS / "fetch.safetensors"
    command(
        "quantize", "--policy", fetch, "--data", recorded, "--out", tmp_path / "theirs.ptm",
        "--n-action-steps", 3, "--compare", 100,
    )  # fmt: skip
    policy = pusht.Policy(fetch)
    made = pusht.quantize(policy, recorded, n_action_steps=3)
    assert made.to_bytes() == (tmp_path / "theirs.ptm").read_bytes()
    # From an array, only the name of the data is another.
    windows = np.load(recorded)
    from_array = pusht.quantize(policy, windows, n_action_steps=3)
    assert pusht.info(from_array)["calibrated_on"] == "observations"
    plans = [made.predict_action(windows, seed=0), from_array.predict_action(windows, seed=0)]
    assert np.array_equal(*plans)


def test_a_quantisation_is_refused_with_the_reason(recorded: Path, small: pusht.Policy) -> None:
    fetch = pusht.Policy(MODELS / "fetch.safetensors")
    twin = pusht.Policy(MODELS / "pusht-small.safetensors")
    windows = np.load(recorded)
    for policy, observations, kwargs, message in [
        (small, None, {}, "an integer policy is given"),
        (fetch, None, {}, "another task than PushT"),
        (fetch, windows[:1], {}, "at least 2 are needed"),
        (fetch, windows[0], {}, r"shape \(N, 2, 28\) is needed"),
        (fetch, windows[..., :5], {}, "it has 5 values, the policy needs 28"),
        (fetch, windows, {"scheduler": "LMS"}, "`LMS` is not supported"),
        (fetch, windows, {"n_action_steps": 0}, "action"),
        (twin, None, {"seeds": [1, 3]}, "follow one another"),
        (twin, None, {"weight_bits": 5}, "5 is not 4 or 8"),
        (twin, None, {"max_bytes": 65_536}, "max_bytes is for weight_bits=4"),
    ]:
        with pytest.raises(ValueError, match=message):
            pusht.quantize(policy, observations, **kwargs)
    with pytest.raises(FileNotFoundError, match="missing.npy"):
        pusht.quantize(fetch, recorded.with_name("missing.npy"))


def test_an_import_takes_the_names_of_another_task(tmp_path: Path) -> None:
    checkpoint = GOLDEN / "import" / "diffusion_policy.ckpt"
    task = {
        "name": "reach",
        "observation": [{"name": f"joint_{index}", "unit": "rad"} for index in range(5)],
        "action": [{"name": "x"}, {"name": "y", "hold": "zero"}],
    }
    path = tmp_path / "task.json"
    path.write_text(json.dumps(task))
    for given in (task, path):
        policy = pusht.import_checkpoint(checkpoint, task=given)
        assert policy.task == "reach"
        assert pusht.info(policy)["observation"][4]["name"] == "joint_4"
        with pytest.raises(ValueError, match="reach"):
            pusht.evaluate(policy, [0])
    with pytest.raises(ValueError, match="nothing names the task.*observation=state"):
        pusht.import_checkpoint(checkpoint)
    with pytest.raises(ValueError, match="task: missing field"):
        pusht.import_checkpoint(checkpoint, task={"name": "reach"})
    with pytest.raises(FileNotFoundError, match="none.json"):
        pusht.import_checkpoint(checkpoint, task=tmp_path / "none.json")
    with pytest.raises(FileNotFoundError, match="none.ckpt"):
        pusht.import_checkpoint(tmp_path / "none.ckpt")


def test_a_description_has_what_the_command_prints() -> None:
    model, twin = (pusht.info(MODELS / f"fetch.{kind}") for kind in ("ptm", "safetensors"))
    assert (model["engine"], twin["engine"]) == ("integer", "float")
    assert model["task"] == twin["task"] == "fetch-pick-and-place"
    names = [value["name"] for value in model["observation"]]
    assert names == [value["name"] for value in twin["observation"]] and len(names) == 28
    assert model["network"] == twin["network"] and model["n_parameters"] > 100_000
    assert model["action"][0]["low"] == pytest.approx(twin["action"][0]["low"], rel=1e-4)
    assert model["scratch_bytes"] > 0 and "scratch_bytes" not in twin
    # As that model was made, but for the length of its provenance.
    assert twin["in_integers"]["scratch_bytes"] == model["scratch_bytes"]
    assert len(twin["in_integers"]["boards"]) > 1 and "in_integers" not in model
    assert model["quantized_by"].startswith("pusht ")
    assert pusht.info(pusht.Policy())["task"] == "pusht/vertices"
