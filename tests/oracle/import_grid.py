"""Writes tests/golden/import/grid.zip: policies that LeRobot and diffusion_policy saved, many configurations, and what their
own code predicts with each.

    git clone https://github.com/real-stanford/diffusion_policy && git -C diffusion_policy checkout 5ba07ac
    pip install -r tests/oracle/requirements_import.txt
    python3 tests/oracle/import_grid.py diffusion_policy

Every case is written by the original program, changed where the case says so, read back by the original program's own
loader, and asked for one plan. `grid.json` has, for each case: what it is, the files of its checkpoint (equal files are
stored once), the options of `pusht import`, observations, every random number drawn, and the actions, or words of the
refusal. `tests/import_grid.rs` imports each case and compares. Seed: 0 (LeRobot), the case's number (diffusion_policy).
"""

import copy
import importlib.metadata
import json
import math
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

import dill
import hydra
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file

ARCHIVE = Path(__file__).parents[1] / "golden/import/grid.zip"
OUT = Path(tempfile.mkdtemp())
STATES = [[222.0, 97.0, 222.99, 381.59, 3.02], [230.5, 101.25, 223.5, 380.0, 3.1], [236.0, 108.5, 226.0, 379.0, 3.05]]
# Points of the T in body coordinates, in gym-pusht's order and in diffusion_policy's.
VERTICES = [(-60.0, 0.0), (60.0, 0.0), (60.0, 30.0), (-60.0, 30.0), (-15.0, 30.0), (15.0, 30.0), (15.0, 120.0), (-15.0, 120.0)]
KEYPOINTS = [(9.2695, 90.0411), (-60.9833, -1.1870), (60.9129, -1.3930), (-0.2705, 25.5437), (-14.0653, 122.8158), (39.0027, 32.8576), (-39.9664, 32.7295), (-16.8245, 62.8632), (23.5416, -1.7001)]

cases = []
stored = {}


def points(state: list, local: list) -> list:
    _, _, x, y, angle = state
    cos, sin = math.cos(angle), math.sin(angle)
    return [v for px, py in local for v in (cos * px - sin * py + x, sin * px + cos * py + y)]


class Draws:
    """Records what the original program draws, in numbers that fixed point represents exactly."""

    def __init__(self):
        self.numbers = []

    def draw(self, shape) -> torch.Tensor:
        drawn = torch.round(self.randn(tuple(shape)) * 2**16) / 2**16
        self.numbers += drawn.flatten().tolist()
        return drawn.clone()

    def __enter__(self):
        import diffusers.schedulers.scheduling_ddim as ddim
        import diffusers.schedulers.scheduling_ddpm as ddpm

        self.randn, self.tensors = torch.randn, (ddim.randn_tensor, ddpm.randn_tensor)
        torch.randn = lambda *size, **kwargs: self.draw(kwargs.get("size") or size)
        ddim.randn_tensor = ddpm.randn_tensor = lambda shape, **kwargs: self.draw(shape)
        return self

    def __exit__(self, *_):
        import diffusers.schedulers.scheduling_ddim as ddim
        import diffusers.schedulers.scheduling_ddpm as ddpm

        torch.randn, (ddim.randn_tensor, ddpm.randn_tensor) = self.randn, self.tensors


def keep(name: str, folder: Path) -> dict:
    """Stores the files of a case; a file that an earlier case has is stored once."""
    files = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if path.name == "README.md":
            continue
        content, place = path.read_bytes(), f"{name}/{path.relative_to(folder)}"
        if content not in stored:
            (OUT / place).parent.mkdir(parents=True, exist_ok=True)
            (OUT / place).write_bytes(content)
            stored[content] = place
        files[str(path.relative_to(folder))] = stored[content]
    return files


def finish(name, program, what, folder, path=".", options=(), observed=None, draws=(), actions=None, refused=None):
    case = {"name": name, "program": program, "what": what, "files": keep(name, folder), "path": path, "options": list(options)}
    case |= observed or {}
    if refused is None:
        case |= {"noise": list(draws), "actions": actions}
    else:
        case["refused"] = refused
    cases.append(case)
    print(f"{len(cases):3} {name}", flush=True)


# ---------------------------------------------------------------- LeRobot

STATE, ENV, ACTION = "observation.state", "observation.environment_state", "action"
NETWORK = {"n_obs_steps": 2, "horizon": 8, "n_action_steps": 4, "down_dims": (8,), "kernel_size": 3, "n_groups": 4, "diffusion_step_embed_dim": 4}
SAMPLER = {"noise_scheduler_type": "DDIM", "num_inference_steps": 4}
KEYS = {"MIN_MAX": ("min", "max"), "MEAN_STD": ("mean", "std"), "QUANTILES": ("q01", "q99"), "QUANTILE10": ("q10", "q90")}


def statistics(sizes: dict) -> dict:
    """Uneven statistics of every value, around the ranges of PushT."""
    stats = {}
    for name, dim in sizes.items():
        step = torch.arange(dim, dtype=torch.float32)
        stats[name] = {
            "min": 10 + step, "max": 480 - 3 * step, "mean": 250 + step, "std": 90 + step,
            "q01": 12 + step, "q99": 470 - 3 * step, "q10": 60 + step, "q90": 400 - step,
        }  # fmt: skip
    return stats


def edit_json(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content, indent=2) + "\n")


def edit_tensors(path: Path, change) -> None:
    tensors = load_file(path)
    save_file(change(tensors) or tensors, path)


def step(pipeline: dict, name: str) -> dict:
    return next(s for s in pipeline["steps"] if s["registry_name"] == name)


def lerobot(name, what, sizes=(2, 16, 2), modes="MIN_MAX", after_modes=None, dtype=torch.float16, stats=None, after_stats=None,
            edit=None, train=None, options=(), refused=None, ema=False, path="pretrained_model", compiled=False, **changes):  # fmt: skip
    from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
    from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
    from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy
    from lerobot.policies.diffusion.processor_diffusion import make_diffusion_pre_post_processors

    torch.manual_seed(0)  # equal networks have equal weights, which are stored once
    sizes = dict(zip((STATE, ENV, ACTION), sizes))
    kinds = {STATE: FeatureType.STATE, ENV: FeatureType.ENV, ACTION: FeatureType.ACTION}
    features = {key: PolicyFeature(type=kinds[key], shape=(dim,)) for key, dim in sizes.items()}
    if isinstance(modes, str):
        modes = {"STATE": modes, "ENV": modes, "ACTION": modes}
    config = DiffusionConfig(
        input_features={key: features[key] for key in (STATE, ENV)}, output_features={ACTION: features[ACTION]},
        normalization_mapping={kind: NormalizationMode[mode] for kind, mode in modes.items()}, device="cpu", crop_shape=None,
        push_to_hub=False, **(NETWORK | SAMPLER | changes),
    )  # fmt: skip
    all_stats = statistics(sizes) if stats is None else stats(statistics(sizes))
    needed = {key for mode in [*modes.values(), *(after_modes or {}).values()] for key in KEYS.get(mode, ())}
    all_stats = {key: {kind: v for kind, v in kinds.items() if kind in needed} for key, kinds in all_stats.items()}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        for number, folder in enumerate(["pretrained_model", "pretrained_model_ema"][: 1 + ema]):
            folder = root / folder
            # Training writes its average beside the live weights (lerobot_train.py on the main branch).
            policy = DiffusionPolicy(config).eval()
            before, after = make_diffusion_pre_post_processors(config, all_stats)
            if compiled:
                policy.diffusion.unet = torch.compile(policy.diffusion.unet)
            policy.save_pretrained(folder)
            before.save_pretrained(folder)
            after.save_pretrained(folder)
            if dtype is not torch.float32:
                convert = dtype if callable(dtype) else lambda tensor: tensor.to(dtype)
                edit_tensors(folder / "model.safetensors", lambda tensors: {key: convert(t) for key, t in tensors.items()})
            if train is not None:
                (folder / "train_config.json").write_text(json.dumps(train) + "\n")
            if edit is not None:
                edit(folder)
        if refused is not None:
            return finish(name, "LeRobot", what, root, path, options, refused=refused)
        chosen = path if not ema or "--live" in options else "pretrained_model_ema"
        observed, draws, actions = ask_lerobot(root / chosen, sizes, config.n_obs_steps, compiled)
        finish(name, "LeRobot", what, root, path, options, observed, draws, actions)


def ask_lerobot(folder: Path, sizes: dict, n_obs_steps: int, compiled: bool):
    """One plan, through LeRobot's own loaders of the policy and of its processors."""
    from lerobot.configs.policies import PreTrainedConfig
    from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy
    from lerobot.policies.factory import make_pre_post_processors

    config = PreTrainedConfig.from_pretrained(folder)
    if compiled:
        with tempfile.TemporaryDirectory() as plain:
            plain = shutil.copytree(folder, Path(plain) / "plain")
            edit_tensors(plain / "model.safetensors", lambda tensors: {k.replace("_orig_mod.", ""): t for k, t in tensors.items()})
            policy = DiffusionPolicy.from_pretrained(plain, config=config).eval()
    else:
        policy = DiffusionPolicy.from_pretrained(folder, config=config).eval()
    before, after = make_pre_post_processors(config, pretrained_path=str(folder))
    is_pusht = (sizes[STATE], sizes[ENV], sizes[ACTION]) == (2, 16, 2)
    states = STATES[-n_obs_steps:] if n_obs_steps <= 3 else [STATES[0]] * (n_obs_steps - 3) + STATES
    if is_pusht:
        observed = {"states": states}
        rows = [{STATE: torch.tensor(s[:2]), ENV: torch.tensor(points(s, VERTICES))} for s in states]
    else:
        values = torch.round(torch.rand(n_obs_steps, sizes[STATE] + sizes[ENV]) * 400 + 50)
        observed = {"obs": values.tolist()}
        rows = [{STATE: row[: sizes[STATE]], ENV: row[sizes[STATE] :]} for row in values]
    names = json.loads((folder / "policy_preprocessor.json").read_text())
    names = {new: old for s in names["steps"] for old, new in s["config"].get("rename_map", {}).items()}
    normalised = [before({names.get(key, key): value for key, value in row.items()}) for row in rows]
    batch = {key: torch.stack([row[key] for row in normalised], dim=1) for key in (STATE, ENV)}
    with torch.inference_mode(), Draws() as draws:
        actions = after(policy.predict_action_chunk(batch))
    return observed, draws.numbers, actions[0].tolist()


def both_processors(change):
    """Changes the steps that normalise, before and after."""

    def edit(folder: Path) -> None:
        edit_json(folder / "policy_preprocessor.json", lambda p: change(step(p, "normalizer_processor")))
        edit_json(folder / "policy_postprocessor.json", lambda p: change(step(p, "unnormalizer_processor")))

    return edit


def preprocessor(change):
    return lambda folder: edit_json(folder / "policy_preprocessor.json", change)


def configured(change):
    return lambda folder: edit_json(folder / "config.json", change)


def own_statistics_after(folder: Path) -> None:
    path = folder / "policy_postprocessor_step_0_unnormalizer_processor.safetensors"
    edit_tensors(path, lambda tensors: {key: t * 0.75 + 20 if key.startswith("action") else t for key, t in tensors.items()})


def without_statistics(of: str):
    def edit(folder: Path) -> None:
        for path in folder.glob("policy_p*.safetensors"):
            edit_tensors(path, lambda tensors: {key: t for key, t in tensors.items() if not key.startswith(of)})

    return edit


def without_state_files(folder: Path) -> None:
    for path in folder.glob("policy_p*.safetensors"):
        path.unlink()
    for path in folder.glob("policy_p*.json"):
        edit_json(path, lambda p: [s.pop("state_file", None) for s in p["steps"]])


def relative(**settings):
    """Actions relative to the state: the pair of steps that LeRobot's relative policies have."""

    def edit(folder: Path) -> None:
        before = {"registry_name": "relative_actions_processor", "config": {"enabled": True, "exclude_joints": [], "action_names": None} | settings}
        edit_json(folder / "policy_preprocessor.json", lambda p: p["steps"].insert(3, before))
        after = {"registry_name": "absolute_actions_processor", "config": {"enabled": True}}
        edit_json(folder / "policy_postprocessor.json", lambda p: p["steps"].insert(1, after))

    return edit


def filled(file: str, name: str, value: float):
    """Replaces every value of a tensor."""
    return lambda folder: edit_tensors(folder / file, lambda tensors: tensors | {name: torch.full_like(tensors[name], value)})


def renamed(folder: Path) -> None:
    names = {"observation.agent": STATE, "observation.block": ENV}
    edit_json(folder / "policy_preprocessor.json", lambda p: step(p, "rename_observations_processor")["config"].update(rename_map=names))


def constant_value(stats: dict) -> dict:
    """A value of the state that never changes: its range is zero."""
    for kind in ("max", "q99", "q90"):
        stats[STATE][kind] = stats[STATE][kind].clone()
    for low, high in (("min", "max"), ("q01", "q99"), ("q10", "q90")):
        stats[STATE][low] = torch.tensor([236.0, *stats[STATE][low][1:]])
        stats[STATE][high] = torch.tensor([236.0, *stats[STATE][high][1:]])
    return stats


def constant_action(stats: dict) -> dict:
    stats[ACTION]["std"] = torch.tensor([0.0, 91.0])
    return stats


def write_lerobot() -> None:
    lerobot("lerobot", "as training writes it: MIN_MAX, DDIM", dtype=torch.float32)
    for dims, horizon in (((16,), 8), ((8, 16), 8), ((8, 8, 16), 8)):
        lerobot(f"lerobot_dims_{'_'.join(map(str, dims))}", f"`down_dims` {list(dims)}", down_dims=dims, horizon=horizon)
    for size in (1, 5, 7, 9):
        lerobot(f"lerobot_kernel_{size}", f"`kernel_size` {size}", kernel_size=size)
    lerobot("lerobot_kernel_11", "`kernel_size` 11", kernel_size=11)
    lerobot("lerobot_groups_1", "`n_groups` 1", n_groups=1)
    lerobot("lerobot_groups_8", "`n_groups` 8", n_groups=8)
    lerobot("lerobot_horizon_16", "`horizon` 16, `n_obs_steps` 3, `n_action_steps` 14", horizon=16, n_obs_steps=3, n_action_steps=14)
    lerobot("lerobot_one_observation", "`n_obs_steps` 1, `horizon` 4", horizon=4, n_obs_steps=1)
    lerobot("lerobot_embedding", "`diffusion_step_embed_dim` 16", diffusion_step_embed_dim=16)
    lerobot("lerobot_bias_only", "`use_film_scale_modulation` false", use_film_scale_modulation=False)
    lerobot("lerobot_ddpm", "DDPM, 6 of 100 steps", noise_scheduler_type="DDPM", num_inference_steps=6)
    lerobot("lerobot_ddpm_all", "DDPM, all of 20 steps", noise_scheduler_type="DDPM", num_inference_steps=None, num_train_timesteps=20)
    lerobot("lerobot_sample", "`prediction_type` sample", prediction_type="sample")
    lerobot("lerobot_unclipped", "`clip_sample` false", clip_sample=False)
    lerobot("lerobot_clip_range", "`clip_sample_range` 2", clip_sample_range=2.0)
    for schedule in ("linear", "scaled_linear"):
        lerobot(f"lerobot_{schedule}", f"`beta_schedule` {schedule}", beta_schedule=schedule)
    for mode in ("MEAN_STD", "IDENTITY", "QUANTILES", "QUANTILE10"):
        lerobot(f"lerobot_{mode.lower()}", f"normalisation {mode}", modes=mode)
    lerobot("lerobot_mixed_modes", "STATE MEAN_STD, ENV MIN_MAX, ACTION QUANTILES", modes={"STATE": "MEAN_STD", "ENV": "MIN_MAX", "ACTION": "QUANTILES"})
    other = both_processors(lambda s: s["config"].update(norm_map={"STATE": "MEAN_STD", "ENV": "IDENTITY", "ACTION": "MEAN_STD"}))
    lerobot("lerobot_own_norm_map", "`norm_map` of the processors differs from `config.json`", after_modes={"ACTION": "MEAN_STD"}, edit=other)
    keys = preprocessor(lambda p: step(p, "normalizer_processor")["config"].update(normalize_observation_keys=[STATE]))
    lerobot("lerobot_some_keys", "`normalize_observation_keys`: the state alone", edit=keys)
    lerobot("lerobot_eps", "`eps` 1 with MEAN_STD", modes="MEAN_STD", edit=both_processors(lambda s: s["config"].update(eps=1.0)))
    lerobot("lerobot_constant", "a value that is constant in training, MIN_MAX", stats=constant_value)
    lerobot("lerobot_constant_eps", "the same with `eps` 0.5", stats=constant_value, edit=both_processors(lambda s: s["config"].update(eps=0.5)))
    lerobot("lerobot_constant_action", "an action whose `std` is 0", modes="MEAN_STD", stats=constant_action)
    lerobot("lerobot_own_statistics", "the postprocessor has statistics of its own", edit=own_statistics_after)
    lerobot("lerobot_no_statistics_env", "no statistics of one feature: it passes through", edit=without_statistics(ENV))
    lerobot("lerobot_no_state_files", "no state files: everything passes through", edit=without_state_files)
    lerobot("lerobot_renamed", "`rename_map`", edit=renamed)
    lerobot("lerobot_relative", "relative actions", edit=relative())
    robot = {"env": None, "dataset": {"repo_id": "lab/robot-arm"}}
    lerobot("lerobot_arm", "another task: 7 + 3 values, 7 actions", sizes=(7, 3, 7), train=robot)
    names = [f"joint_{index}.pos" for index in range(6)] + ["gripper.pos"]
    lerobot("lerobot_arm_relative", "the same, relative but for the gripper", sizes=(7, 3, 7), train=robot, edit=relative(exclude_joints=["gripper"], action_names=names))
    lerobot("lerobot_maze", "another task: 2 + 3 values, 2 actions", sizes=(2, 3, 2), train={"env": {"type": "maze"}, "dataset": {"repo_id": "lab/maze"}})
    lerobot("lerobot_not_pusht", "PushT's sizes, another environment", train={"env": {"type": "blocks"}, "dataset": {"repo_id": "lab/blocks"}})
    lerobot("lerobot_pusht_named", "PushT by its environment's name", train={"env": {"type": "pusht"}, "dataset": {"repo_id": "lab/any"}})
    lerobot("lerobot_ema", "moving average beside the live weights", ema=True)
    lerobot("lerobot_ema_folder", "the same, the folder above", ema=True, path=".")
    lerobot("lerobot_live", "the same with `--live`", ema=True, options=["--live"])
    lerobot("lerobot_no_ema", "`--ema` without a moving average", options=["--ema"], refused=["--ema", "no moving average"])
    lerobot("lerobot_bfloat16", "weights in bfloat16", dtype=torch.bfloat16)
    lerobot("lerobot_float64", "weights in float64", dtype=torch.float64)
    lerobot("lerobot_mixed_types", "weights in float16 and float32", dtype=lambda t: t.half() if t.dim() > 1 else t)
    lerobot("lerobot_compiled", "`torch.compile`'s names", compiled=True)
    lerobot("lerobot_defaults", "`config.json` without the keys at their defaults", horizon=8, edit=configured(lambda c: [c.pop(k) for k in ("beta_start", "beta_end", "clip_sample", "beta_schedule", "prediction_type", "use_film_scale_modulation")]))
    crop = {"registry_name": "image_crop_resize_processor", "config": {}}
    lerobot("lerobot_unknown_step", "another step of the preprocessor", edit=preprocessor(lambda p: p["steps"].append(crop)), refused=["policy_preprocessor.json", "step 4", "image_crop_resize_processor"])
    half = preprocessor(lambda p: step(p, "device_processor")["config"].update(float_dtype="float16"))
    lerobot("lerobot_half_device", "`float_dtype` float16", edit=half, refused=["device_processor", "float_dtype", "float16"])
    lerobot("lerobot_no_postprocessor", "one processor without the other", edit=lambda f: (f / "policy_postprocessor.json").unlink(), refused=["policy_postprocessor.json", "missing"])
    lerobot("lerobot_statistic_missing", "a mode whose statistic is missing", edit=both_processors(lambda s: s["config"].update(norm_map={k: "QUANTILES" for k in ("STATE", "ENV", "ACTION")})), refused=["QUANTILES", "observation.state.q01"])
    lerobot("lerobot_nan", "a weight that is not a number", edit=filled("model.safetensors", "diffusion.unet.final_conv.1.bias", math.nan), refused=["diffusion.unet.final_conv.1.bias", "NaN"])
    endless = filled("policy_preprocessor_step_3_normalizer_processor.safetensors", "observation.state.max", math.inf)
    lerobot("lerobot_infinite", "a statistic that is infinite", edit=endless, refused=["observation.state.max", "inf"])
    image = {"observation.image": {"type": "VISUAL", "shape": [3, 96, 96]}}
    lerobot("lerobot_image", "images", edit=configured(lambda c: c["input_features"].update(image)), refused=["observation.image", "image"])
    lerobot("lerobot_act", "another policy (ACT)", edit=configured(lambda c: c.update(type="act")), refused=["type", '"act"', "diffusion"])
    lerobot("lerobot_no_network", "a file without the network", edit=lambda f: edit_tensors(f / "model.safetensors", lambda t: {f"actor.{k}": v for k, v in t.items()}), refused=["model.safetensors", "actor.", "diffusion.unet"])
    lerobot("lerobot_even_kernel", "`kernel_size` 4 in `config.json`", edit=configured(lambda c: c.update(kernel_size=4)), refused=["kernel_size", "4", "odd"])


# ---------------------------------------------------------------- diffusion_policy

UPSTREAM = "diffusion_policy.policy.diffusion_unet_lowdim_policy.DiffusionUnetLowdimPolicy"
NETWORK_CLASS = "diffusion_policy.model.diffusion.conditional_unet1d.ConditionalUnet1D"
RUNNER = "diffusion_policy.env_runner.pusht_keypoints_runner.PushTKeypointsRunner"
# As config/train_diffusion_unet_lowdim_workspace.yaml, with its interpolations and a small network.
CONFIG = {
    "_target_": "diffusion_policy.workspace.train_diffusion_unet_lowdim_workspace.TrainDiffusionUnetLowdimWorkspace",
    "obs_dim": "${task.obs_dim}", "action_dim": "${task.action_dim}", "task_name": "${task.name}",
    "horizon": 8, "n_obs_steps": 2, "n_action_steps": 4, "n_latency_steps": 0,
    "obs_as_local_cond": False, "obs_as_global_cond": True, "pred_action_steps_only": False,
    "policy": {
        "_target_": UPSTREAM,
        "model": {
            "_target_": NETWORK_CLASS,
            "input_dim": "${eval: ${task.action_dim} if ${obs_as_local_cond} or ${obs_as_global_cond} else ${task.obs_dim} + ${task.action_dim}}",
            "local_cond_dim": "${eval: ${task.obs_dim} if ${obs_as_local_cond} else None}",
            "global_cond_dim": "${eval: ${task.obs_dim}*${n_obs_steps} if ${obs_as_global_cond} else None}",
            "diffusion_step_embed_dim": 4, "down_dims": [8], "kernel_size": 3, "n_groups": 8, "cond_predict_scale": True,
        },
        "noise_scheduler": {
            "_target_": "diffusers.schedulers.scheduling_ddim.DDIMScheduler", "num_train_timesteps": 50,
            "beta_schedule": "squaredcos_cap_v2", "clip_sample": True, "prediction_type": "epsilon",
        },
        "horizon": "${horizon}", "obs_dim": "${obs_dim}", "action_dim": "${action_dim}",
        "n_action_steps": "${eval:'${n_action_steps}+${n_latency_steps}'}", "n_obs_steps": "${n_obs_steps}", "num_inference_steps": 4,
        "obs_as_local_cond": "${obs_as_local_cond}", "obs_as_global_cond": "${obs_as_global_cond}",
        "pred_action_steps_only": "${pred_action_steps_only}", "oa_step_convention": True,
    },
    "task": {"name": "pusht_lowdim", "obs_dim": 5, "action_dim": 2, "env_runner": {"_target_": RUNNER, "n_latency_steps": "${n_latency_steps}"}},
    "training": {"use_ema": False},
}  # fmt: skip


def workspace_class():
    """diffusion_policy's own saving and loading, without what training needs."""
    from diffusion_policy.workspace.base_workspace import BaseWorkspace

    class Workspace(BaseWorkspace):
        def __init__(self, cfg):
            super().__init__(cfg, output_dir="unused")
            self.model = hydra.utils.instantiate(cfg.policy)
            self.ema_model = hydra.utils.instantiate(cfg.policy) if cfg.training.use_ema else None

    return Workspace


def diffusion_policy(name, what, changes=(), resolve=True, dtype=torch.float16, prepare=None, save=None, fit=None, plain=False, saved=None, rewrite=None,
                     options=(), refused=None, config=None, **fields):  # fmt: skip
    from diffusion_policy.model.common.normalizer import LinearNormalizer

    torch.manual_seed(len(cases))
    cfg = copy.deepcopy(OmegaConf.create(config or CONFIG))
    for key, value in {**dict(changes), **fields}.items():
        OmegaConf.update(cfg, key.replace("__", "."), value, merge=False, force_add=True)
    original = cfg.copy()
    OmegaConf.resolve(cfg)
    Workspace = workspace_class()
    workspace = Workspace(cfg)
    obs_dim, action_dim = cfg.policy.obs_dim, cfg.policy.action_dim
    normalizer = LinearNormalizer()
    ranges = torch.tensor([512.0, 512, 512, 512, 6.28]) if obs_dim == 5 else torch.full((obs_dim,), 512.0)
    normalizer.fit({"obs": torch.rand(50, obs_dim) * ranges, "action": torch.rand(50, action_dim) * 512}, **(fit or {}))
    policies = [p for p in (workspace.model, workspace.ema_model) if p is not None]
    for policy in policies:
        policy.set_normalizer(copy.deepcopy(normalizer))
        policy.model.to(dtype)
        if prepare:
            prepare(policy)
    workspace.cfg = cfg if resolve else original
    for key, value in (saved or {}).items():
        OmegaConf.update(workspace.cfg, key, value)
    if plain:
        workspace.cfg = OmegaConf.to_container(workspace.cfg)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        path = root / "latest.ckpt"
        original_save = torch.save
        if save:
            torch.save = lambda *args, **kwargs: original_save(*args, **kwargs, **save)
        workspace.save_checkpoint(path, use_thread=False)
        torch.save = original_save
        if rewrite:
            rewrite(path)
        if refused is not None:
            return finish(name, "diffusion_policy", what, root, path.name, options, refused=refused)
        loaded = Workspace(cfg)
        payload = torch.load(path.open("rb"), pickle_module=dill, weights_only=False)
        for state in payload["state_dicts"].values():
            for key in [key for key in state if "_orig_mod." in key]:
                state[key.replace("_orig_mod.", "")] = state.pop(key)
        loaded.load_payload(payload)
        policy = loaded.ema_model if cfg.training.use_ema and "--live" not in options else loaded.model
        policy.eval()
        is_pusht = cfg.get("task", {}).get("name", "pusht").startswith("pusht")
        states = STATES[-cfg.policy.n_obs_steps :]
        if is_pusht and obs_dim in (5, 18, 20):
            local = {5: None, 18: VERTICES, 20: KEYPOINTS}[obs_dim]
            rows = states if local is None else [points(s, local) + s[:2] for s in states]
            observed = {"states": states}
        else:
            rows = torch.round(torch.rand(cfg.policy.n_obs_steps, obs_dim) * 400 + 50).tolist()
            observed = {"obs": rows}
        with torch.inference_mode(), Draws() as draws:
            actions = policy.predict_action({"obs": torch.tensor([rows])})["action"]
        # env_runner/pusht_keypoints_runner.py: the runner drops the first n_latency_steps.
        runner = OmegaConf.select(OmegaConf.create(cfg), "task.env_runner")
        late = cfg.get("n_latency_steps", 0) if runner is None else runner.get("n_latency_steps", 0)
        finish(name, "diffusion_policy", what, root, path.name, options, observed, draws.numbers, actions[0, late:].tolist())


def upstream_config(source: str, overrides: list) -> OmegaConf:
    """The whole configuration as Hydra composes it from upstream's files."""
    with hydra.initialize_config_dir(str(Path(source).resolve() / "diffusion_policy/config"), version_base=None):
        return hydra.compose("train_diffusion_unet_lowdim_workspace", overrides)


SMALL = ["policy.model.down_dims=[8]", "policy.model.diffusion_step_embed_dim=4", "policy.model.kernel_size=3", "horizon=8", "n_action_steps=4", "policy.num_inference_steps=4", "training.use_ema=False"]


def robot(**fields) -> dict:
    """Another task, whose runner knows no latency."""
    return {"task": {"name": "kitchen_lowdim", "obs_dim": 9, "action_dim": 4, "env_runner": {"_target_": "diffusion_policy.env_runner.kitchen_lowdim_runner.KitchenLowdimRunner"}}} | fields


def write_diffusion_policy(source: str) -> None:
    dp, scheduler = diffusion_policy, "policy.noise_scheduler"
    dp("dp", "keypoints, as training writes it", dtype=torch.float32, training__use_ema=True, task__obs_dim=20)
    whole = upstream_config(source, SMALL)
    dp("dp_upstream", "upstream's whole configuration, DDPM", config=whole)
    dp("dp_unresolved", "the same with its interpolations unresolved", config=whole, resolve=False)
    robomimic = upstream_config(source, ["task=lift_lowdim_abs", *SMALL])
    dp("dp_robomimic", "upstream's lift_lowdim_abs: 19 values, 10 actions", config=robomimic)
    dp("dp_plain", "the configuration as a plain dictionary", plain=True)
    dp("dp_live", "`--live`", training__use_ema=True, options=["--live"])
    dp("dp_ema", "`--ema`", training__use_ema=True, options=["--ema"])
    dp("dp_no_ema", "`--ema` without a moving average", options=["--ema"], refused=["--ema", "ema_model"])
    dp("dp_latency", "`n_latency_steps` 1", n_latency_steps=1)
    dp("dp_latency_2", "`n_latency_steps` 2, unresolved", n_latency_steps=2, resolve=False)
    dp("dp_latency_no_runner", "`n_latency_steps` 1, a runner that does not drop", changes=robot(n_latency_steps=1))
    dp("dp_maze", "another task of 5 values and 2 actions", changes={"task": {"name": "maze", "obs_dim": 5, "action_dim": 2}})
    dp("dp_robot", "another task: 9 values, 4 actions", changes=robot())
    unnamed = {key: value for key, value in CONFIG.items() if key not in ("task", "task_name")} | {"obs_dim": 5, "action_dim": 2}
    unnamed = json.loads(json.dumps(unnamed).replace("${task.obs_dim}", "${obs_dim}").replace("${task.action_dim}", "${action_dim}"))
    dp("dp_unnamed", "5 values, no name of a task", config=unnamed, refused=["nothing names the task", "--observation state"])
    dp("dp_state", "the same with `--observation state`", config=unnamed, options=["--observation", "state"])
    dp("dp_vertices", "vertices with `--observation vertices`", config=unnamed | {"obs_dim": 18}, options=["--observation", "vertices"])
    dp("dp_dims", "`down_dims` [8, 16]", policy__model__down_dims=[8, 16])
    dp("dp_dims_3", "`down_dims` [8, 8, 16]", policy__model__down_dims=[8, 8, 16])
    dp("dp_kernel_5", "`kernel_size` 5", policy__model__kernel_size=5)
    dp("dp_groups_2", "`n_groups` 2", policy__model__n_groups=2)
    dp("dp_bias_only", "`cond_predict_scale` false", policy__model__cond_predict_scale=False)
    dp("dp_horizon_16", "`horizon` 16, `n_obs_steps` 3", horizon=16, n_obs_steps=3, n_action_steps=8)
    dp("dp_local", "`obs_as_local_cond`", obs_as_local_cond=True, obs_as_global_cond=False)
    dp("dp_inpainting", "inpainting", obs_as_global_cond=False)
    dp("dp_actions_only", "`pred_action_steps_only`", pred_action_steps_only=True)
    dp("dp_old_convention", "`oa_step_convention` false", policy__oa_step_convention=False)
    ddpm = "diffusers.schedulers.scheduling_ddpm.DDPMScheduler"
    dp("dp_ddpm", "DDPM, 5 of 50 steps", {f"{scheduler}._target_": ddpm, "policy.num_inference_steps": 5})
    dp("dp_ddpm_large", "DDPM, `variance_type` fixed_large", {f"{scheduler}._target_": ddpm, f"{scheduler}.variance_type": "fixed_large"})
    dp("dp_eta", "DDIM with `eta` 0.5", {"policy.eta": 0.5})
    for kind in ("sample", "v_prediction"):
        dp(f"dp_{kind}", f"`prediction_type` {kind}", {f"{scheduler}.prediction_type": kind})
    dp("dp_trailing", "`timestep_spacing` trailing", {f"{scheduler}.timestep_spacing": "trailing"})
    dp("dp_linspace", "`timestep_spacing` linspace", {f"{scheduler}.timestep_spacing": "linspace"})
    dp("dp_offset", "`steps_offset` 1, `set_alpha_to_one` false", {f"{scheduler}.steps_offset": 1, f"{scheduler}.set_alpha_to_one": False})
    dp("dp_thresholding", "`thresholding`", {f"{scheduler}.thresholding": True, f"{scheduler}.sample_max_value": 1.5})
    dp("dp_betas", "`trained_betas`", {f"{scheduler}.trained_betas": [0.002 * (index + 1) for index in range(50)]})
    dp("dp_zero_snr", "`rescale_betas_zero_snr`", {f"{scheduler}.rescale_betas_zero_snr": True, f"{scheduler}.prediction_type": "v_prediction"})
    dp("dp_gaussian", "normaliser of mode gaussian", fit={"mode": "gaussian"})
    dp("dp_bfloat16", "weights in bfloat16", dtype=torch.bfloat16)
    dp("dp_float64", "weights in float64", dtype=torch.float64)
    dp("dp_compiled", "`torch.compile`'s names", prepare=lambda policy: setattr(policy, "model", torch.compile(policy.model)))
    dp("dp_legacy", "PyTorch's format before 1.6", save={"_use_new_zipfile_serialization": False})
    dp("dp_protocol_4", "pickle protocol 4", save={"pickle_protocol": 4})
    dp("dp_strided", "weights that are not contiguous", prepare=strided)
    dp("dp_nan", "a weight that is not a number", prepare=lambda policy: policy.model.final_conv[1].bias.data.fill_(math.nan), refused=["final_conv.1.bias", "NaN"])
    dp("dp_shared", "500 tensors of one storage", rewrite=shared, refused=["larger than the file allows"])
    dp("dp_compressed", "a compressed archive", rewrite=compressed, refused=["data.pkl", "compressed"])
    dp("dp_action_dim", "`action_dim` 7 with a network for 4", changes=robot(), saved={"policy.action_dim": 7}, refused=["input_dim of the network is 4, not 7", "action_dim is 7"])
    dp("dp_environment", "an interpolation of the environment", saved={"policy.horizon": "${oc.env:HORIZON}"}, resolve=True, refused=["cfg.policy.horizon", "oc.env:HORIZON"])
    dp("dp_transformer", "another policy (transformer)", saved={"policy._target_": UPSTREAM.replace("unet", "transformer").replace("Unet", "Transformer")}, refused=["_target_", "DiffusionTransformerLowdimPolicy"])


def shared(path: Path) -> None:
    """A state dict whose many tensors are one storage: memory that the file does not have."""
    payload = torch.load(path, pickle_module=dill, weights_only=False)
    storage = torch.zeros(1 << 14)
    payload["state_dicts"]["model"] = {f"model.{index}": storage.view(-1) for index in range(500)}
    torch.save(payload, path, pickle_module=dill)


def compressed(path: Path) -> None:
    """The same archive with its entries compressed."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def strided(policy) -> None:
    for parameter in policy.model.parameters():
        if parameter.dim() == 3:
            parameter.data = parameter.data.transpose(0, 1).contiguous().transpose(0, 1)


def main() -> None:
    sys.path.insert(0, sys.argv[1])
    OmegaConf.register_new_resolver("eval", eval, replace=True)
    write_lerobot()
    write_diffusion_policy(sys.argv[1])
    names = ["lerobot", "torch", "diffusers", "dill", "omegaconf", "safetensors"]
    versions = {name: importlib.metadata.version(name) for name in names}
    lines = ",\n".join(json.dumps(case) for case in cases)
    (OUT / "grid.json").write_text(f'{{"versions": {json.dumps(versions)}, "cases": [\n{lines}\n]}}\n')
    with zipfile.ZipFile(ARCHIVE, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(p for p in OUT.rglob("*") if p.is_file()):
            # A fixed date, so that equal content is an equal archive.
            entry = zipfile.ZipInfo(str(path.relative_to(OUT)), (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, 9)
    shutil.rmtree(OUT)
    print(f"{len(cases)} cases, {ARCHIVE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
