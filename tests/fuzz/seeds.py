"""Writes what fuzzing starts from: `base/`, and a folder of seeds for each target that reads files.

    python3 tests/fuzz/seeds.py FOLDER

Needs Python 3.10 or later and nothing else. All values are made up; the network is the smallest
one that the programs accept.
"""

import gzip
import io
import json
import pickle
import struct
import sys
import types
import zipfile
import zlib
from pathlib import Path

HERE = Path(__file__).parent
EMBED, WIDTH, KERNEL, ACTION = 4, 8, 1, 2


# -- the network ---------------------------------------------------------------------------------


def block(name, n_in, n_out, cond, convs):
    """Shapes of a residual block, with the names of its convolutions."""
    shapes = {}
    for conv, width in zip(convs, (n_in, n_out)):
        shapes |= {f"{name}.{conv}.block.0.weight": (n_out, width, KERNEL)}
        for kind in ("0.bias", "1.weight", "1.bias"):
            shapes[f"{name}.{conv}.block.{kind}"] = (n_out,)
    shapes |= {f"{name}.cond_encoder.1.weight": (2 * n_out, cond)}
    shapes |= {f"{name}.cond_encoder.1.bias": (2 * n_out,)}
    if n_in != n_out:
        shapes |= {f"{name}.residual_conv.weight": (n_out, n_in, 1)}
        shapes |= {f"{name}.residual_conv.bias": (n_out,)}
    return shapes


def network(obs_dim, convs):
    """Shapes of `ConditionalUnet1D` with one level, one observation and global conditioning."""
    cond = EMBED + obs_dim
    shapes = {
        "diffusion_step_encoder.1.weight": (4 * EMBED, EMBED),
        "diffusion_step_encoder.1.bias": (4 * EMBED,),
        "diffusion_step_encoder.3.weight": (EMBED, 4 * EMBED),
        "diffusion_step_encoder.3.bias": (EMBED,),
        "final_conv.0.block.0.weight": (WIDTH, WIDTH, KERNEL),
        "final_conv.0.block.0.bias": (WIDTH,),
        "final_conv.0.block.1.weight": (WIDTH,),
        "final_conv.0.block.1.bias": (WIDTH,),
        "final_conv.1.weight": (ACTION, WIDTH, 1),
        "final_conv.1.bias": (ACTION,),
    }
    shapes |= block("down_modules.0.0", ACTION, WIDTH, cond, convs)
    for name in ("down_modules.0.1", "mid_modules.0", "mid_modules.1"):
        shapes |= block(name, WIDTH, WIDTH, cond, convs)
    return shapes


def values(n, first=0):
    """Small numbers of both signs, that repeat and so compress well."""
    return [((first + i) % 7 - 3) / 8 for i in range(n)]


def count(shape):
    n = 1
    for size in shape:
        n *= size
    return n


def safetensors(tensors, metadata=None):
    """A file of float32 tensors: name -> (shape, values)."""
    header, data = {}, b""
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, (shape, numbers) in tensors.items():
        start = len(data)
        data += struct.pack(f"<{len(numbers)}f", *numbers)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, len(data)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def filled(shapes):
    return {name: (shape, values(count(shape), i)) for i, (name, shape) in enumerate(shapes.items())}


# -- float policies ------------------------------------------------------------------------------


def policy_config(**changes):
    scheduler = {
        "kind": "DDIM",
        "num_train_timesteps": 10,
        "beta_start": 0.0001,
        "beta_end": 0.02,
        "beta_schedule": "squaredcos_cap_v2",
        "prediction_type": "epsilon",
        "clip_sample": True,
        "clip_sample_range": 1.0,
        "variance_type": "fixed_small",
        "set_alpha_to_one": True,
        "steps_offset": 0,
        "timestep_spacing": "leading",
    }
    unet = {
        "input_dim": ACTION,
        "global_cond_dim": 5,
        "diffusion_step_embed_dim": EMBED,
        "down_dims": [WIDTH],
        "kernel_size": KERNEL,
        "n_groups": 4,
        "cond_predict_scale": True,
    }
    config = {"n_obs_steps": 1, "horizon": 4, "n_action_steps": 2, "num_inference_steps": 2}
    if "task" not in changes:
        config["observation"] = "state"
    scheduler |= changes.pop("scheduler", {})
    return config | changes | {"unet": unet, "scheduler": scheduler}


def policy_tensors():
    tensors = {f"model.{name}": value for name, value in filled(network(5, ("blocks.0", "blocks.1"))).items()}
    for field, dim in (("obs", 5), ("action", ACTION)):
        tensors[f"normalizer.params_dict.{field}.scale"] = ((dim,), [1 / 256] * dim)
        tensors[f"normalizer.params_dict.{field}.offset"] = ((dim,), [-1.0] * dim)
    return tensors


TASK = {
    "name": "lift",
    "observation": [{"name": f"o{i}", "unit": "m"} for i in range(5)],
    "action": [{"name": "x", "unit": "m", "relative_to": 0, "hold": "observed"}, {"name": "y", "unit": "m"}],
}


def policy_files():
    """Settings with each kind of scheduler, and one whole file."""
    settings = [
        {},
        {"scheduler": {"kind": "DDPM", "variance_type": "fixed_large", "clip_sample": False}},
        {"scheduler": {"kind": "DDPM", "prediction_type": "v_prediction", "beta_schedule": "sigmoid"}},
        {"scheduler": {"kind": "FlowMatchEuler", "prediction_type": "flow_prediction"}},
        {"scheduler": {"eta": 0.5, "use_clipped_model_output": True, "timestep_spacing": "trailing"}},
        {"scheduler": {"rescale_betas_zero_snr": True, "prediction_type": "sample"}},
        {"scheduler": {"trained_betas": [i / 20 for i in range(1, 11)], "steps_offset": 1}},
        {"scheduler": {"thresholding": {"dynamic_thresholding_ratio": 0.9, "sample_max_value": 1.5}}},
        {"pred_action_steps_only": True},
        {"oa_step_convention": False, "n_latency_steps": 1},
        {"action_frame": "agent"},
        {"task": TASK},
        {"conditioning": "local"},
        {"conditioning": "inpainting"},
    ]
    for change in settings:
        yield json.dumps(policy_config(**change)).encode()
    yield safetensors(policy_tensors(), {"pusht_policy": json.dumps(policy_config())})
    yield safetensors({}, {"pusht_policy": json.dumps(policy_config())})


# -- checkpoints of diffusion_policy -------------------------------------------------------------


class Storage:
    """A reference to bytes beside the pickle."""

    def __init__(self, kind, key, n):
        self.kind, self.key, self.n = kind, key, n


class Tensor:
    """Pickled as PyTorch does it."""

    def __init__(self, storage, offset, shape, strides=None):
        contiguous = [count(shape[axis + 1 :]) for axis in range(len(shape))]
        self.parts = (storage, offset, tuple(shape), tuple(strides or contiguous), False, {})

    def __reduce__(self):
        return (sys.modules["torch._utils"]._rebuild_tensor_v2, self.parts)


def torch():
    """Modules whose names are all that a pickle has of them."""
    for module, names in {
        "torch": ("FloatStorage", "HalfStorage", "DoubleStorage"),
        "torch._utils": ("_rebuild_tensor_v2", "_rebuild_parameter"),
    }.items():
        made = sys.modules[module] = types.ModuleType(module)
        for name in names:
            function = lambda *_: None  # noqa: E731
            function.__module__, function.__name__, function.__qualname__ = module, name, name
            setattr(made, name, function)


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        if isinstance(value, Storage):
            kind = getattr(sys.modules["torch"], value.kind)
            return ("storage", kind, value.key, "cpu", value.n)
        return None


def pickled(value, protocol=2):
    file = io.BytesIO()
    Pickler(file, protocol).dump(value)
    return file.getvalue()


def checkpoint(weights="model", kind="FloatStorage", **changes):
    storage = Storage(kind, "0", 2048)
    state, offset = {}, 0
    for name, (shape, _) in policy_tensors().items():
        state[name] = Tensor(storage, offset % 1024, shape)
        offset += count(shape)
    config = policy_config()
    unet = config["unet"] | {"_target_": "diffusion_policy.model.ConditionalUnet1D"}
    scheduler = config["scheduler"] | {"_target_": "diffusers.DDPMScheduler", "num_train_timesteps": "${steps}"}
    del scheduler["kind"]
    policy = {
        "_target_": "diffusion_policy.policy.DiffusionUnetLowdimPolicy",
        "obs_dim": "${task.obs_dim}",
        "action_dim": ACTION,
        "horizon": 4,
        "n_obs_steps": 1,
        "n_action_steps": "${eval:'2+${n_latency_steps}'}",
        "num_inference_steps": 2,
        "obs_as_global_cond": True,
        "oa_step_convention": True,
        "model": unet,
        "noise_scheduler": scheduler,
    }
    cfg = {"n_latency_steps": 0, "steps": 10, "task": {"name": "pusht_lowdim", "obs_dim": 5}, "policy": policy | changes}
    return {"cfg": cfg, "state_dicts": {weights: state}}


def legacy(value):
    """The format before PyTorch 1.6."""
    parts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    head = b"".join(pickle.dumps(part, 2) for part in parts)
    storage = struct.pack("<q", 2048) + struct.pack("<2048f", *values(2048))
    return head + pickled(value) + pickle.dumps(["0"], 2) + storage


def checkpoints():
    yield pickled(checkpoint())
    yield pickled(checkpoint("ema_model", "HalfStorage", eta=0.5), 4)
    yield pickled(checkpoint(obs_as_global_cond=False, obs_as_local_cond=True))
    transposed = checkpoint(kind="DoubleStorage")
    state = transposed["state_dicts"]["model"]
    name = "model.diffusion_step_encoder.1.weight"
    state[name] = Tensor(Storage("DoubleStorage", "0", 2048), 0, (16, 4), (1, 16))
    yield pickled(transposed, 5)
    yield legacy(checkpoint())
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", pickled({"cfg": {}, "state_dicts": {}}))
        archive.writestr("a/data/0", bytes(64))
    yield file.getvalue()


# -- folders -------------------------------------------------------------------------------------


def folder(files):
    """Files as an input has them: see `Place::folder` in src/lib.rs."""
    parts = []
    for name, contents in files.items():
        contents = contents if isinstance(contents, bytes) else json.dumps(contents).encode()
        parts.append(name.encode() + b"\n" + contents)
    return b"\n--\n".join(parts)


STATE, ENVIRONMENT = "observation.state", "observation.environment_state"
FEATURES = {STATE: ("STATE", 2), ENVIRONMENT: ("ENV", 16), "action": ("ACTION", ACTION)}
MODES = {"STATE": "MEAN_STD", "ENV": "MIN_MAX", "ACTION": "MIN_MAX"}


def features(*names):
    return {name: {"type": FEATURES[name][0], "shape": [FEATURES[name][1]]} for name in names}


def lerobot_config(**changes):
    return {
        "type": "diffusion",
        "n_obs_steps": 1,
        "input_features": features(STATE, ENVIRONMENT),
        "output_features": features("action"),
        "normalization_mapping": MODES,
        "horizon": 4,
        "n_action_steps": 2,
        "down_dims": [WIDTH],
        "kernel_size": KERNEL,
        "n_groups": 4,
        "diffusion_step_embed_dim": EMBED,
        "use_film_scale_modulation": True,
        "noise_scheduler_type": "DDIM",
        "num_train_timesteps": 10,
        "num_inference_steps": 2,
    } | changes


def pipelines(*before):
    """Both processors, with further steps before the network."""
    config = {"eps": 1e-8, "features": features(*FEATURES), "norm_map": MODES}
    file = "policy_{}processor_step_0_{}normalizer_processor.safetensors"
    step = {"registry_name": "normalizer_processor", "config": config, "state_file": file.format("pre", "")}
    back = {"registry_name": "unnormalizer_processor", "config": config, "state_file": file.format("post", "un")}
    return {
        "policy_preprocessor.json": {"name": "policy_preprocessor", "steps": [step, *before]},
        "policy_postprocessor.json": {"name": "policy_postprocessor", "steps": [back]},
    }


def statistics(prefix, name):
    dim = FEATURES[name][1]
    made = {"mean": 100.0, "std": 50.0, "min": 0.0, "max": 512.0, "q01": 1.0, "q99": 500.0}
    return {f"{prefix}.{kind}": ((dim,), [value] * dim) for kind, value in made.items()}


def lerobot_tensors():
    named = filled(network(18, ("conv1", "conv2")))
    tensors = {f"diffusion.unet.{name}": value for name, value in named.items()}
    for name in FEATURES:
        side = "unnormalize_outputs" if name == "action" else "normalize_inputs"
        tensors |= statistics(f"{side}.buffer_{name.replace('.', '_')}", name)
    return tensors


def lerobot_folders():
    rename = {"registry_name": "rename_observations_processor", "config": {"rename_map": {"state": STATE}}}
    relative = {"registry_name": "relative_actions_processor", "config": {"enabled": True, "exclude_joints": ["x"]}}
    training = {"env": {"type": "pusht"}, "dataset": {"repo_id": "lerobot/pusht_keypoints"}}
    yield folder({"config.json": lerobot_config()})
    yield folder({"config.json": lerobot_config(noise_scheduler_type="DDPM", clip_sample=False)})
    yield folder({"config.json": lerobot_config(), "train_config.json": training} | pipelines())
    yield folder({"config.json": lerobot_config()} | pipelines(rename, relative))
    old = lerobot_config(
        input_shapes={STATE: [2], ENVIRONMENT: [16]},
        output_shapes={"action": [2]},
        input_normalization_modes={STATE: "mean_std", ENVIRONMENT: "min_max"},
        output_normalization_modes={"action": "min_max"},
    )
    for name in ("type", "input_features", "output_features", "normalization_mapping"):
        del old[name]
    yield folder({"config.json": old})
    yield folder({"config.json": lerobot_config(), "model.safetensors": safetensors(statistics("a", STATE))})


def zstd(data):
    """One raw block in a frame with its size."""
    block_header = struct.pack("<I", len(data) << 3 | 1)[:3]
    return struct.pack("<IBH", 0xFD2FB528, 0x60, len(data) - 256) + block_header + data


def blosc(data):
    """A header, and the bytes as they are."""
    return struct.pack("<BBBBIII", 2, 1, 2, 4, len(data), len(data), len(data) + 16) + data


COMPRESSORS = {
    None: lambda data: data,
    "zlib": zlib.compress,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "blosc": blosc,
    "zstd": zstd,
}


def array(name, numbers, columns, dtype, compressor, version):
    """A Zarr array in one chunk: its files by name."""
    rows = len(numbers) // columns
    shape = [rows, columns] if columns > 1 else [rows]
    data = struct.pack(f"<{len(numbers)}{dtype}", *numbers)
    index = ["0"] * len(shape)
    if version == 2:
        code = {"f": "<f4", "d": "<f8", "q": "<i8"}[dtype]
        metadata = {"zarr_format": 2, "shape": shape, "chunks": shape, "dtype": code, "fill_value": 0, "order": "C"}
        metadata |= {"filters": None, "compressor": compressor and {"id": compressor}}
        if compressor == "blosc":
            metadata["compressor"] |= {"cname": "lz4", "clevel": 5, "shuffle": 0, "blocksize": 0}
        if compressor in ("zlib", "gzip", "zstd"):
            metadata["compressor"]["level"] = 1
        return {f"{name}/.zarray": metadata, f"{name}/{'.'.join(index)}": COMPRESSORS[compressor](data)}
    code = {"f": "float32", "d": "float64", "q": "int64"}[dtype]
    codecs = [{"name": "bytes", "configuration": {"endian": "little"}}]
    if compressor:
        options = {"level": 1} | ({"checksum": False} if compressor == "zstd" else {})
        codecs.append({"name": compressor, "configuration": options})
    metadata = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": code,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shape}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": codecs,
    }
    return {f"{name}/zarr.json": metadata, f"{name}/c/{'/'.join(index)}": COMPRESSORS[compressor](data)}


def replay_buffer(compressor, version, dtype="f", rows=24):
    state = array("data/state", values(5 * rows), 5, dtype, compressor, version)
    action = array("data/action", values(2 * rows), 2, dtype, None, version)
    ends = array("meta/episode_ends", [rows // 2, rows], 1, "q", None, version)
    return state | action | ends


def zarrs():
    for compressor in COMPRESSORS:
        yield folder(replay_buffer(compressor, 2))
    for compressor in (None, "gzip", "zstd"):
        yield folder(replay_buffer(compressor, 3, "d"))
    seeds = array("meta/seed", [7, -1], 1, "q", None, 2)
    yield folder(replay_buffer(None, 2, "d", 8) | seeds)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, contents in replay_buffer(None, 2, rows=6).items():
            contents = contents if isinstance(contents, bytes) else json.dumps(contents).encode()
            archive.writestr(zipfile.ZipInfo(f"pusht.zarr/{name}"), contents)
    yield file.getvalue()


# -- Parquet -------------------------------------------------------------------------------------

PHYSICAL = {"?": 0, "i": 1, "q": 2, "f": 4, "d": 5}
PLAIN, RLE, RLE_DICTIONARY = 0, 3, 8
UNCOMPRESSED, SNAPPY = 0, 1
REQUIRED, REPEATED, LIST = 0, 2, 3


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


class Long(int):
    """A number of 64 bits."""


def thrift(value):
    """Type and bytes of a value in Thrift's compact protocol; a dictionary is a struct."""
    if isinstance(value, dict):
        out, last = b"", 0
        for field, item in sorted(value.items()):
            kind, data = thrift(item)
            out += bytes([field - last << 4 | kind]) + data
            last = field
        return 12, out + b"\0"
    if isinstance(value, list):
        kinds, items = zip(*map(thrift, value))
        head = [len(items) << 4 | kinds[0]] if len(items) < 15 else [0xF0 | kinds[0], len(items)]
        return 9, bytes(head) + b"".join(items)
    if isinstance(value, str):
        return 8, varint(len(value)) + value.encode()
    return 6 if isinstance(value, Long) else 5, varint(value << 1 if value >= 0 else ~value << 1 | 1)


def snappy(data):
    """One literal."""
    return varint(len(data)) + b"\xf4" + struct.pack("<H", len(data) - 1) + data


def plain(numbers, kind):
    if kind == "?":
        numbers = [bool(number) for number in numbers]
        packed = [numbers[at : at + 8] for at in range(0, len(numbers), 8)]
        return bytes(sum(bit << i for i, bit in enumerate(bits)) for bits in packed)
    return struct.pack(f"<{len(numbers)}{kind}", *numbers)


def runs(numbers):
    """A run of the hybrid encoding for each stretch of equal numbers of a byte."""
    out, at = b"", 0
    while at < len(numbers):
        end = at
        while end < len(numbers) and numbers[end] == numbers[at]:
            end += 1
        out += varint(end - at << 1) + bytes([numbers[at]])
        at = end
    return out


def levels(numbers):
    return struct.pack("<I", len(runs(numbers))) + runs(numbers)


def parquet(columns, codec=UNCOMPRESSED, groups=1, dictionary=()):
    """A file: name -> (kind, values per row or None for a plain column, numbers)."""
    file, schema, row_groups = b"PAR1", [{4: "schema", 5: len(columns)}], []
    n_rows = 0
    for name, (kind, dim, numbers) in columns.items():
        n_rows = len(numbers) // (dim or 1)
        leaf = {1: PHYSICAL[kind], 3: REQUIRED, 4: "element" if dim else name}
        if dim:
            schema += [{3: REQUIRED, 4: name, 5: 1, 6: LIST}, {3: REPEATED, 4: "list", 5: 1}]
        schema.append(leaf)
    for group in range(groups):
        chunks, rows = [], n_rows // groups
        for name, (kind, dim, numbers) in columns.items():
            count = rows * (dim or 1)
            numbers = numbers[group * count : (group + 1) * count]
            start, places = len(file), {}

            def page(data, header):
                stored = snappy(data) if codec == SNAPPY else data
                return thrift({2: len(data), 3: len(stored)} | header)[1] + stored

            body = plain(numbers, kind)
            if name in dictionary:
                known = sorted(set(numbers))
                places = {11: Long(start)}
                file += page(plain(known, kind), {1: 2, 7: {1: len(known), 2: PLAIN}})
                width = max(1, (len(known) - 1).bit_length())
                body = bytes([width]) + runs([known.index(number) for number in numbers])
            if dim:
                body = levels(([0] + [1] * (dim - 1)) * rows) + levels([1] * count) + body
            encoding = RLE_DICTIONARY if name in dictionary else PLAIN
            places[9] = Long(len(file))
            file += page(body, {1: 0, 5: {1: count, 2: encoding, 3: RLE, 4: RLE}})
            size = Long(len(file) - start)
            chunk = {1: PHYSICAL[kind], 2: [PLAIN, RLE], 4: codec, 5: Long(count), 6: size, 7: size}
            chunk[3] = [name, "list", "element"] if dim else [name]
            chunks.append({2: Long(0), 3: chunk | places})
        row_groups.append({1: chunks, 2: Long(len(file)), 3: Long(rows)})
    footer = thrift({1: 1, 2: schema, 3: Long(n_rows), 4: row_groups})[1]
    return file + footer + struct.pack("<I", len(footer)) + b"PAR1"


INFO, FRAMES = "meta/info.json", "data/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"


def lerobot_dataset(kind="f", codec=UNCOMPRESSED, groups=1, dictionary=(), state=STATE, marks=None):
    """Two episodes of four frames, with PushT's whole state."""
    rows = 8
    shapes = {state: 5, "action": 2}
    dtype = {"f": "float32", "d": "float64"}[kind]
    info = {"codebase_version": "v3.0", "total_episodes": 2, "total_frames": rows}
    info["features"] = {name: {"dtype": dtype, "shape": [dim]} for name, dim in shapes.items()}
    frames = {name: (kind, dim, values(dim * rows)) for name, dim in shapes.items()}
    frames["episode_index"] = ("q", None, [0] * 4 + [1] * 4)
    frames["frame_index"] = ("i", None, [0, 1, 2, 3] * 2)
    episodes = {"dataset_from_index": ("q", None, [0, 4]), "dataset_to_index": ("q", None, [4, 8])}
    return {
        INFO: info,
        FRAMES: parquet(frames, codec, groups, dictionary),
        EPISODES: parquet(episodes | (marks or {}), codec),
    }


def lerobot_datasets():
    marks = {"continues": ("?", None, [0, 1]), "cut_off": ("?", None, [1, 0]), "seed": ("q", None, [7, -1])}
    yield folder(lerobot_dataset())
    yield folder(lerobot_dataset("d", SNAPPY))
    yield folder(lerobot_dataset(groups=2, state="state", marks=marks))
    yield folder(lerobot_dataset(dictionary=("action", "episode_index")))
    cut = lerobot_dataset(codec=SNAPPY, dictionary=("action",), marks=marks)
    yield folder({INFO: cut[INFO], FRAMES: cut[FRAMES][:-40], EPISODES: cut[EPISODES]})


# -- text ----------------------------------------------------------------------------------------


def csvs():
    yield b"action_x,action_y\n300,250\n310.5,260\n"
    yield b'action_x, action_y\r\n"300", 1e2\r\n\r\n-0,1e-320\r\n'
    yield b'action_x,action_y\n"a ""quoted"" number",3\n'
    yield b"action_x,action_y\n1,2,3\ninf,nan\n"


def requests():
    window = [[0.5, -1.5, 2.0, 0.25]] * 2
    noise = [[0.5, -0.25]] * 8
    lines = [
        {"obs": window, "seed": 0},
        {"obs": [window, window], "seed": [0, 18446744073709551615]},
        {"obs": window, "noise": noise},
        {"obs": window, "noise": noise, "step_noise": [noise]},
        {"obs": [], "seed": 1, "more": None},
    ]
    for line in lines:
        yield json.dumps(line).encode() + b"\n"
    yield b"\n" + b"\n".join(json.dumps(line).encode() for line in lines[:2])


SEEDS = {
    "checkpoint": checkpoints,
    "csv": csvs,
    "lerobot": lerobot_folders,
    "parquet": lerobot_datasets,
    "policy_file": policy_files,
    "predict": requests,
    "zarr": zarrs,
}


def main():
    torch()
    base = {
        "policy": safetensors(policy_tensors(), {"pusht_policy": json.dumps(policy_config())}),
        "lerobot": safetensors(lerobot_tensors()),
        "statistics": safetensors({k: v for name in FEATURES for k, v in statistics(name, name).items()}),
    }
    base = {f"{name}.safetensors": contents for name, contents in base.items()}
    dataset = lerobot_dataset()
    base |= {"info.json": json.dumps(dataset[INFO]).encode()}
    base |= {"frames.parquet": dataset[FRAMES], "episodes.parquet": dataset[EPISODES]}
    for name, contents in base.items():
        (HERE / f"base/{name}").write_bytes(contents)
    for target, seeds in SEEDS.items():
        place = Path(sys.argv[1]) / target
        place.mkdir(parents=True, exist_ok=True)
        for index, seed in enumerate(seeds()):
            (place / f"{index:02}").write_bytes(seed)


main()
