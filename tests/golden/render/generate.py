"""gym-pusht's own pictures of a scene, which `host/src/render` is compared with.

    pip install -r tests/golden/physics/requirements.txt pillow==13.0.0
    SDL_VIDEODRIVER=dummy python tests/golden/render/generate.py

Each picture is named after its size. The scene is `STATE`, drawn before any step, with the action `TARGET` marked.
"""

from pathlib import Path

import gymnasium as gym
import gym_pusht  # noqa: F401
import numpy as np
from PIL import Image

# Agent x, y, block x, y (px), block angle (rad).
STATE = [100.0, 400.0, 330.0, 140.0, 0.3]
TARGET = [200.0, 440.0]

for size in (96, 680):
    env = gym.make(
        "gym_pusht/PushT-v0",
        render_mode="rgb_array",
        visualization_width=size,
        visualization_height=size,
    )
    env.reset(seed=0)
    inner = env.unwrapped
    inner.agent.position = STATE[:2]
    inner.block.angle = STATE[4]
    inner.block.position = STATE[2:4]
    # Shapes are drawn where they were last looked up.
    inner.space.reindex_shapes_for_body(inner.agent)
    inner.space.reindex_shapes_for_body(inner.block)
    inner._last_action = np.array(TARGET)
    picture = Image.fromarray(inner.render())
    path = Path(__file__).with_name(f"{size}.png")
    picture.save(path, optimize=True)
    print(path, picture.size, path.stat().st_size)
