"""The ``pixelrefer`` command: everything that works without ROS."""
