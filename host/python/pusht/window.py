"""The window of `render_mode="human"`."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium
import numpy as np

SIDE_PX = 512
"""Width and height of the window, pixels."""

FRAMES_PER_S = 100
"""Most frames per second, as in gym-pusht."""


class Window:
    """A window, shown by pygame."""

    def __init__(self) -> None:
        try:
            with warnings.catch_warnings():
                # pygame itself imports what setuptools warns about.
                warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)
                import pygame
        except ImportError:
            raise gymnasium.error.DependencyNotInstalled(
                'render_mode "human" needs pygame: pip install "pusht[human]"'
            ) from None
        self._pygame: Any = pygame
        pygame.init()
        pygame.display.init()
        self._screen = pygame.display.set_mode((SIDE_PX, SIDE_PX))
        self._clock = pygame.time.Clock()

    def show(self, picture: np.ndarray[Any, Any]) -> None:
        """Shows a picture of 512 x 512 pixels."""
        # pygame's arrays have x before y.
        self._pygame.surfarray.blit_array(self._screen, picture.swapaxes(0, 1))
        self._pygame.event.pump()
        self._clock.tick(FRAMES_PER_S)
        self._pygame.display.update()

    def close(self) -> None:
        """Closes the window."""
        self._pygame.display.quit()
        self._pygame.quit()
