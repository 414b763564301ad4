"""FetchPickAndPlace-v4 as the scripts of this folder see it: names, rows, environment.

A row is what a policy reads at one step: the 10 values of the robot, then the 18 values of the
object and of the goal. The environment itself has another order; `row` translates.
"""

import contextlib
import io

import gymnasium
import numpy as np

ENVIRONMENT = "FetchPickAndPlace-v4"
MAX_STEPS = 100
# Seconds of simulated time per step: 20 substeps of 2 ms.
STEP_S = 0.04
FPS = round(1 / STEP_S)

# Velocities are per step of 40 ms, as the environment gives them.
STATE_NAMES = [
    "gripper_x_m",
    "gripper_y_m",
    "gripper_z_m",
    "finger_right_m",
    "finger_left_m",
    "gripper_velocity_x_m_per_step",
    "gripper_velocity_y_m_per_step",
    "gripper_velocity_z_m_per_step",
    "finger_right_velocity_m_per_step",
    "finger_left_velocity_m_per_step",
]
OBJECT_NAMES = [
    "object_x_m",
    "object_y_m",
    "object_z_m",
    "object_from_gripper_x_m",
    "object_from_gripper_y_m",
    "object_from_gripper_z_m",
    "object_roll_rad",
    "object_pitch_rad",
    "object_yaw_rad",
    "object_relative_velocity_x_m_per_step",
    "object_relative_velocity_y_m_per_step",
    "object_relative_velocity_z_m_per_step",
    "object_angular_velocity_x_rad_per_step",
    "object_angular_velocity_y_rad_per_step",
    "object_angular_velocity_z_rad_per_step",
    "goal_x_m",
    "goal_y_m",
    "goal_z_m",
]
ACTION_NAMES = ["gripper_move_x", "gripper_move_y", "gripper_move_z", "fingers_open"]

# Where the values of a row stand in the environment's 25 observed values and 3 goal values.
_STATE = [0, 1, 2, 9, 10, 20, 21, 22, 23, 24]
_OBJECT = [3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17, 18, 19, 25, 26, 27]
STATE_SIZE = len(_STATE)
ROW_SIZE = STATE_SIZE + len(_OBJECT)
ACTION_SIZE = len(ACTION_NAMES)


def make(max_steps: int = MAX_STEPS) -> gymnasium.Env:
    """The environment, without a display."""
    # The package prints a notice about other environments.
    with contextlib.redirect_stderr(io.StringIO()):
        import gymnasium_robotics

    gymnasium.register_envs(gymnasium_robotics)
    return gymnasium.make(ENVIRONMENT, max_episode_steps=max_steps)


def row(observation: dict) -> np.ndarray:
    """A policy's row of an observation, float32."""
    values = np.concatenate([observation["observation"], observation["desired_goal"]])
    return values[_STATE + _OBJECT].astype(np.float32)
