"""Times gym-pusht's pictures, for `pusht bench pixels`.

A line in: {"start": [5], "actions": [[x, y], ..]}
A line out: {"observation_s": .., "render_s": .., "checksums": [..]}: processor time of the observations and of
`render`, one of each after every action, and the CRC-32 of each observation
"""

import json
import os
import sys
import time
import zlib

os.environ["SDL_VIDEODRIVER"] = "dummy"

import cv2
import numpy as np
from gym_pusht.envs.pusht import PushTEnv

cv2.setNumThreads(1)
env = PushTEnv()
for line in sys.stdin:
    sequence = json.loads(line)
    env.reset(options={"reset_to_state": sequence["start"]})
    observation_s, render_s, checksums = 0.0, 0.0, []
    for action in np.array(sequence["actions"]):
        env.step(action)
        start = time.process_time()
        observation = env._render()
        middle = time.process_time()
        env.render()
        end = time.process_time()
        observation_s, render_s = observation_s + middle - start, render_s + end - middle
        checksums.append(zlib.crc32(np.ascontiguousarray(observation).tobytes()))
    answer = {"observation_s": observation_s, "render_s": render_s, "checksums": checksums}
    print(json.dumps(answer), flush=True)
