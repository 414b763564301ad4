"""gym-pusht's own pictures, as checksums, which `host/gym/src/pixels` is compared with.

    pip install -r tests/golden/pixels/requirements.txt
    SDL_VIDEODRIVER=dummy python tests/golden/pixels/generate.py            # writes the .bin files
    SDL_VIDEODRIVER=dummy python tests/golden/pixels/generate.py --scene 7  # scene-7.png: one surface

All files are little-endian; a checksum is the CRC-32 (zlib) of a picture's bytes, (height, width, 3).

scenes.bin, 1,000 scenes without contact points. A scene is its state (5 f64: agent, block, angle) and
action (2 f64), then a checksum for the surface of 512 x 512 and for each of its `pictures`.

episodes.bin, 40 episodes of 25 control steps from `reset(seed)`, seeds 0 to 39. A step is its action
(2 f64) and the checksums of surface and observation after it. Contact points are marked here.

shapes.bin, 250 surfaces with 16 shapes each, straight from `pygame.draw`. A shape is its kind, number
of points, colour (5 u8) and the points (i16); a surface ends with its checksum.
"""

import argparse
import os
import struct
import zlib
from pathlib import Path

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import numpy as np
import pygame
from gym_pusht.envs.pusht import PushTEnv

HERE = Path(__file__).parent
SEED = 20260
N_SCENES = 1000
N_EPISODES, N_STEPS = 40, 25
N_SURFACES, SHAPES_PER_SURFACE = 250, 16
# Width, height, and whether the action is marked. The first are drawn of each scene; of the others
# each scene has one, in turn.
ALWAYS = [(96, 96, False), (96, 96, True), (680, 680, True)]
IN_TURN = [
    (640, 480, True), (256, 256, False), (100, 210, True), (84, 84, False), (512, 512, True),
    (1024, 768, True), (224, 224, True), (7, 3, False), (513, 511, True), (1, 1, False),
]  # fmt: skip


def checksum(picture):
    return zlib.crc32(np.ascontiguousarray(picture).tobytes())


def surface_of(env):
    return pygame.surfarray.array3d(env._draw()).transpose(1, 0, 2)


def picture_of(env, width, height, action):
    env._last_action = action
    return env._get_img(env._draw(), width, height, render_action=action is not None)


def scene(random, index):
    """A state and an action. Some lie on halves of pixels, at walls, or partly outside."""
    kind = index % 5
    low, high = [(0, 512), (0, 512), (-40, 552), (0, 60), (450, 512)][kind]
    agent, block = random.uniform(low, high, 2), random.uniform(low, high, 2)
    angle = random.uniform(-7, 7)
    if kind == 1:
        agent, block = np.floor(agent * 2) / 2, np.floor(block * 2) / 2
        angle = random.integers(-4, 5) * np.pi / 4
    return agent, block, angle, random.uniform(low - 20, high + 20, 2)


def place(env, random, index):
    agent, block, angle, action = scene(random, index)
    env._setup()
    env.agent.position = agent.tolist()
    env.block.angle = float(angle)
    env.block.position = block.tolist()
    # Shapes are drawn where they were last looked up.
    env.space.reindex_shapes_for_body(env.agent)
    env.space.reindex_shapes_for_body(env.block)
    # Position and angle as the body has them now: the centre of gravity is what is stored.
    return [*env.agent.position, *env.block.position, env.block.angle], action


def scenes():
    env, random = PushTEnv(), np.random.default_rng(SEED)
    for index in range(N_SCENES):
        state, action = place(env, random, index)
        yield struct.pack("<7d", *state, *action)
        yield struct.pack("<I", checksum(surface_of(env)))
        for width, height, marked in [*ALWAYS, IN_TURN[index % len(IN_TURN)]]:
            picture = picture_of(env, width, height, action if marked else None)
            assert picture.shape == (height, width, 3)
            yield struct.pack("<I", checksum(picture))


def episodes():
    env, random = PushTEnv(obs_type="pixels"), np.random.default_rng(SEED + 1)
    for seed in range(N_EPISODES):
        env.reset(seed=seed)
        for _ in range(N_STEPS):
            # Through the block, whole pixels, now and then far off.
            reach = random.choice([20, 60, 300])
            action = np.round(np.array(env.block.position) + random.uniform(-reach, reach, 2))
            observation, *_ = env.step(action)
            yield struct.pack("<2d2I", *action, checksum(surface_of(env)), checksum(observation))


def points_of(random, kind):
    """Points on and around the surface, of small and of large shapes."""
    reach = random.choice([4, 30, 200, 700])
    middle = random.integers(-60, 572, 2)
    n = {"polygon": random.integers(1, 9), "line": 2, "soft line": 2, "disc": 1}[kind]
    points = middle + random.integers(-reach, reach + 1, (n, 2))
    if kind == "soft line":
        points[1] = points[0] + random.integers(-9, 10, 2)
    return points.tolist()


def shapes():
    random = np.random.default_rng(SEED + 2)
    kinds = ["polygon", "line", "disc", "soft line"]
    for _ in range(N_SURFACES):
        surface = pygame.Surface((512, 512))
        surface.fill((255, 255, 255))
        for _ in range(SHAPES_PER_SURFACE):
            kind = int(random.integers(len(kinds)))
            color = random.integers(0, 256, 3).tolist()
            points = points_of(random, kinds[kind])
            if kinds[kind] == "polygon" and len(points) < 3:
                points = (points * 3)[:3]
            radius = int(random.integers(1, 40))
            match kinds[kind]:
                case "polygon":
                    pygame.draw.polygon(surface, color, points)
                case "line":
                    pygame.draw.lines(surface, color, False, points, 4)
                case "disc":
                    pygame.draw.circle(surface, color, points[0], radius, 0)
                    points = [*points, [radius, 0]]
                case "soft line":
                    pygame.draw.aalines(surface, color, False, points)
            yield struct.pack("<5B", kind, len(points), *color)
            yield struct.pack(f"<{2 * len(points)}h", *np.ravel(points).tolist())
        yield struct.pack("<I", checksum(pygame.surfarray.array3d(surface).transpose(1, 0, 2)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--scene", type=int)
    wanted = parser.parse_args().scene
    if wanted is None:
        for name, records in [("scenes", scenes), ("episodes", episodes), ("shapes", shapes)]:
            data = b"".join(records())
            (HERE / f"{name}.bin").write_bytes(data)
            print(name, len(data))
        return
    env, random = PushTEnv(), np.random.default_rng(SEED)
    for index in range(wanted + 1):
        place(env, random, index)
    pygame.image.save(env._draw(), f"scene-{wanted}.png")


if __name__ == "__main__":
    main()
