"""How MuJoCo draws. It reads an environment variable while it is imported, so this comes first."""

from __future__ import annotations

import os
import sys


def choose_opengl() -> None:
    """Let MuJoCo render without a screen: EGL unless ``MUJOCO_GL`` says otherwise (``osmesa``, ``glfw``)."""
    if sys.platform == 'linux':
        os.environ.setdefault('MUJOCO_GL', 'egl')
        os.environ.setdefault('EGL_LOG_LEVEL', 'fatal')
