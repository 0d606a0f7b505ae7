"""The ROS 2 face of PixelRefer: nodes, conversions and a client; the only place that imports rclpy.

The messages of this package (``pixelrefer_ros.msg``, ``.srv``, ``.action``) are generated into the install
space. ``extend_path`` lets them be found beside these sources when both are on ``sys.path``.
"""

import pkgutil

__path__ = pkgutil.extend_path(__path__, __name__)
