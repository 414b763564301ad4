"""Times gym-pusht on sequences of actions, for `pusht bench env`.

A line in: {"sequences": [{"start": [5], "angle_first": bool, "actions": [[x, y], ..]}, ..]}
A line out: {"steps": n, "seconds": processor time of the steps alone, "poses": last block x, y, angle of each}
"""

import json
import os
import sys
import time

os.environ["SDL_VIDEODRIVER"] = "dummy"

import numpy as np
from gym_pusht.envs.pusht import PushTEnv


class Env(PushTEnv):
    angle_first = False

    def _set_state(self, state):
        if self.angle_first:
            self.agent.position = list(state[:2])
            self.block.angle = state[4]
            self.block.position = list(state[2:4])
            self.space.step(self.dt)
        else:
            super()._set_state(state)


env = Env()
for line in sys.stdin:
    seconds, steps, poses = 0.0, 0, []
    for sequence in json.loads(line)["sequences"]:
        env.angle_first = sequence["angle_first"]
        env.reset(options={"reset_to_state": sequence["start"]})
        actions = np.array(sequence["actions"])
        start = time.process_time()
        for action in actions:
            env.step(action)
        seconds += time.process_time() - start
        steps += len(actions)
        poses.append([*env.block.position, env.block.angle])
    print(json.dumps({"steps": steps, "seconds": seconds, "poses": poses}), flush=True)
