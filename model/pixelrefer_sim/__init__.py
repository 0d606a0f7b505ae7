"""The simulated tabletop: what a robot's camera would see of it, and what is true about it.

Needs MuJoCo (``pip install 'pixelrefer-core[sim]'``) and OpenGL without a screen: EGL or OSMesa, chosen by the
environment variable ``MUJOCO_GL``. MuJoCo is imported where it is used, so that this package costs nothing to
import.
"""
