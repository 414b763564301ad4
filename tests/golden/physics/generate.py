"""Golden trajectories: what gym-pusht 0.1.8 on pymunk 6.11.1 does, bit for bit.

    pip install -r requirements.txt
    python generate.py [--demonstrations pusht.zip]

Writes beside itself (see README.md for the formats)
    trajectories.bin    generated episodes
    coverage.bin        poses and their coverage by shapely
    demonstrations.csv  digests of the recorded demonstrations' replay, if their archive is given
Every episode is seeded by its number. x86-64 with glibc: pymunk takes sin and cos from there.
"""

import argparse
import csv
import os
import pathlib
import struct

os.environ["SDL_VIDEODRIVER"] = "dummy"

import numpy as np
import pymunk
from gym_pusht.envs.pusht import PushTEnv

HERE = pathlib.Path(__file__).parent
STEPS = 200
EPISODES_A_FAMILY = 48
WALLS = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}
# Actions are multiples of this, and so fit 16 bits.
ACTION_STEP = 1 / 16
ACTION_RANGE = -150, 662
LEGACY, ANGLE_FIRST = 0, 1
# Where a hair more of angle at the start becomes this distance, rounding may as well: such an episode says something
# only bit for bit.
HAIR_RAD, UNSTABLE_PX = 1e-12, 1e-6
# Pixels and radians are kept for the inexact comparison in these steps.
PX_STEP, RAD_STEP = 2.0**-21, 2.0**-25


class Env(PushTEnv):
    """gym-pusht, with diffusion_policy's other order of setting a start state."""

    order = LEGACY

    def _set_state(self, state):
        if self.order == LEGACY:
            super()._set_state(state)
        else:
            self.agent.position = list(state[:2])
            self.block.angle = state[4]
            self.block.position = list(state[2:4])
            self.space.step(self.dt)


def crc64_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0xC96C5795D7870F42 if byte & 1 else 0)
        table.append(byte)
    return table


class Digest:
    """CRC-64/XZ."""

    TABLE = crc64_table()

    def __init__(self):
        self.register = 0xFFFFFFFFFFFFFFFF

    def update(self, data):
        register = self.register
        for byte in data:
            register = self.TABLE[(register ^ byte) & 0xFF] ^ (register >> 8)
        self.register = register

    @property
    def value(self):
        return self.register ^ 0xFFFFFFFFFFFFFFFF


def bits(env):
    """Everything that has to be equal after a step."""
    agent, block = env.agent, env.block
    values = [*agent.position, *agent.velocity, *block.position, block.angle]
    return struct.pack("<7di", *values, env.n_contact_points)


def block_middle(env):
    return np.array(env.block.local_to_world(env.block.center_of_gravity))


# A family: (start state, order, parameters, policy) from a random generator. A policy gives the next target.


def free_start(rng):
    return [*rng.uniform(60, 450, 2), *rng.uniform(100, 400, 2), rng.uniform(-7, 7)]


def chase(rng):
    """Targets on and around the block, wherever it goes."""
    held = {"left": 0, "offset": np.zeros(2)}

    def policy(env, _):
        if held["left"] == 0:
            held["left"], held["offset"] = rng.integers(1, 15), rng.normal(0, 60, 2)
        held["left"] -= 1
        return block_middle(env) + held["offset"]

    return free_start(rng), rng.integers(2), {}, policy


def walls(rng):
    """Round behind the block, then through it towards a wall or a corner, again and again."""
    held = {"left": 0}

    def policy(env, _):
        if held["left"] == 0:
            held["left"] = rng.integers(15, 40)
            names = rng.choice(list(WALLS), 2, replace=False)
            way = sum(np.array(WALLS[name]) * rng.uniform(0.2, 1) for name in names)
            held["way"] = way / max(np.linalg.norm(way), 0.1)
            held["side"] = rng.normal(0, 25, 2)
        held["left"] -= 1
        if held["left"] > 12:
            return block_middle(env) - 130 * held["way"]
        return block_middle(env) + 90 * held["way"] + held["side"]

    return free_start(rng), rng.integers(2), {}, policy


def squeeze(rng):
    """The block at a wall; the agent presses it there, far past its centre and through the wall."""
    way = np.array(WALLS[rng.choice(list(WALLS))], float)
    across = np.array([way[1], way[0]])
    middle = np.array([256, 256]) + way * rng.uniform(120, 220) + across * rng.uniform(-200, 200)
    agent = middle - way * rng.uniform(60, 150) + across * rng.normal(0, 20)
    held = {"left": 0}

    def policy(env, _):
        if held["left"] == 0:
            held["left"] = rng.integers(5, 30)
            held["depth"], held["shift"] = rng.uniform(-150, 200), rng.normal(0, 50)
        held["left"] -= 1
        return block_middle(env) + way * held["depth"] + across * held["shift"]

    return [*agent, *middle, rng.uniform(-7, 7)], rng.integers(2), {}, policy


def overlap(rng):
    """Agent, block and walls begin within each other."""
    block = rng.uniform(-20, 530, 2)
    agent = block + rng.normal(0, 40, 2)
    held = {"left": 0}

    def policy(env, _):
        if held["left"] == 0:
            held["left"], held["target"] = rng.integers(5, 25), rng.uniform(20, 490, 2)
        held["left"] -= 1
        return held["target"]

    return [*agent, *block, rng.uniform(-7, 7)], rng.integers(2), {}, policy


def wedge(rng):
    """The block in a corner, the agent jittering into it, so that agent and both walls hold it."""
    corner = np.array([rng.choice([5, 506]), rng.choice([5, 506])], float)
    inward = np.sign(256 - corner)
    block = corner + inward * rng.uniform(20, 110, 2)
    agent = corner + inward * rng.uniform(120, 220, 2)

    def policy(env, t):
        return corner + inward * rng.uniform(-60, 120 + 60 * np.sin(t / 15), 2)

    return [*agent, *block, rng.uniform(-7, 7)], rng.integers(2), {}, policy


def parameters(rng):
    """As `walls`, with another centre of gravity and with damping, which gym-pusht lets one choose."""
    start, order, _, policy = walls(rng)
    cog = (float(rng.integers(-10, 10)), float(rng.integers(10, 80)))
    return start, order, {"block_cog": cog, "damping": float(rng.choice([0.0, 0.25, 0.5]))}, policy


FAMILIES = [chase, walls, squeeze, overlap, wedge, parameters]


def episode(number):
    family = number % len(FAMILIES)
    rng = np.random.default_rng(number)
    start, order, params, policy = FAMILIES[family](rng)
    env = Env(**params)
    env.order = order
    env.reset(options={"reset_to_state": start})
    digest = Digest()
    digest.update(bits(env))
    cog = params.get("block_cog", (0.0, 45.0))
    out = [row(env, digest)]
    targets, positions = [], []
    for t in range(STEPS):
        target = np.asarray(policy(env, t)).clip(*ACTION_RANGE)
        target = np.round(target / ACTION_STEP).astype(int)
        env.step(target * ACTION_STEP)
        digest.update(bits(env))
        out.append(struct.pack("<2h", *target) + row(env, digest))
        targets.append(target)
        positions.append(env.block.position)
    start_values = *start, *cog, params.get("damping", 0.0)
    unstable = is_unstable(env, start, targets, positions)
    header = struct.pack("<BBB8d", family, order, unstable, *start_values)
    return header + b"".join(out) + struct.pack("<Q", digest.value)


def is_unstable(env, start, targets, positions):
    """Whether pymunk's own motion comes out another one if the block is turned by a hair at the start."""
    x, y, block_x, block_y, angle = start
    env.reset(options={"reset_to_state": [x, y, block_x, block_y, angle + HAIR_RAD]})
    distance = 0.0
    for target, position in zip(targets, positions, strict=True):
        env.step(target * ACTION_STEP)
        distance = max(distance, (env.block.position - position).length)
    return distance > UNSTABLE_PX


def row(env, digest):
    x, y = env.block.position
    pose = np.round([x / PX_STEP, y / PX_STEP, env.block.angle / RAD_STEP]).astype(int)
    # Modulo 2^32: the differences are what counts.
    return struct.pack("<4I", *(int(word) & 0xFFFFFFFF for word in (digest.value, *pose)))


def write_trajectories():
    episodes = EPISODES_A_FAMILY * len(FAMILIES)
    with open(HERE / "trajectories.bin", "wb") as file:
        file.write(struct.pack("<II", episodes, STEPS))
        for number in range(episodes):
            file.write(episode(number))


def write_coverage():
    rng = np.random.default_rng(1)
    env = Env()
    env.reset(seed=0)
    with open(HERE / "coverage.bin", "wb") as file:
        for number in range(1500):
            near = rng.choice([0.1, 5, 100])
            pose = [256, 256, np.pi / 4] + rng.normal(0, near, 3) * [1, 1, 0.02 if number % 3 else 1]
            if number < 8:
                # The goal itself, and whole turns and halves of it.
                pose = np.array([256, 256, np.pi / 4 + number * np.pi / 2])
            env.block.angle = pose[2]
            env.block.position = pose[:2].tolist()
            file.write(struct.pack("<4d", *pose, env._get_coverage()))


def write_demonstrations(archive):
    import zarr

    store = zarr.ZipStore(archive, mode="r")
    data = zarr.open(store, mode="r", path="pusht/pusht_cchi_v7_replay.zarr")
    states, actions = data["data/state"][:], data["data/action"][:]
    ends = data["meta/episode_ends"][:]
    with open(HERE / "demonstrations.csv", "w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["episode", "steps", "digest"])
        start = 0
        for number, end in enumerate(ends):
            env = Env()
            env.order = ANGLE_FIRST
            env.reset(options={"reset_to_state": states[start].astype(float)})
            digest = Digest()
            digest.update(bits(env))
            # The action of the last row leads beyond the record.
            for action in actions[start : end - 1]:
                env.step(action.astype(float))
                digest.update(bits(env))
            table.writerow([number, end - start - 1, f"{digest.value:016x}"])
            start = end


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--demonstrations", help="archive with the recorded demonstrations")
    arguments = parser.parse_args()
    assert pymunk.version == "6.11.1", pymunk.version
    write_trajectories()
    write_coverage()
    if arguments.demonstrations:
        write_demonstrations(arguments.demonstrations)
