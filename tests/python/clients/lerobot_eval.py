"""`lerobot-eval` on the environment of the package that the variable PACKAGE names.

LeRobot 0.6.1 makes asynchronous environments in processes that a fork server starts. They import
this file, and so register the environment. With `lerobot-eval` itself they fail, with gym-pusht
too: `Namespace gym_pusht not found`.
"""

import importlib
import os

from lerobot.scripts.lerobot_eval import main

importlib.import_module(os.environ["PACKAGE"])

if __name__ == "__main__":
    main()
