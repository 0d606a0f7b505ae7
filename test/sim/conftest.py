"""Nothing here needs a screen; MuJoCo learns that before anything imports it."""

from pixelrefer_sim.opengl import choose_opengl

choose_opengl()
