"""Object-level perception without ROS: SAM 2-style tracking, object tokens, PixelRefer and its Lite form.

Light on import: torch, transformers and OpenCV are imported by the modules that use them.
"""

__version__ = '0.1.0'
