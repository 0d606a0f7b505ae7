"""The middleware profile that carries whole images: with Fast DDS as it comes, large best-effort images get lost."""

from __future__ import annotations

import os
from pathlib import Path

PROFILE = 'fastdds_shm.xml'
# Fast DDS 3 (Kilted and later) reads the first and warns of the second, which Fast DDS 2 reads. The profile counts
# only when both ends of a topic have it.
VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
FAST_DDS_2 = ('humble', 'iron', 'jazzy')


def profile_environment(share: str | Path) -> dict[str, str]:
    """Return the variables to set so that nodes use the shipped profile, or {} when the user has chosen one.

    ``share``: the share directory of this package.
    """
    if any(os.environ.get(name) for name in VARIABLES):
        return {}
    names = VARIABLES if os.environ.get('ROS_DISTRO', 'jazzy') in FAST_DDS_2 else VARIABLES[:1]
    return dict.fromkeys(names, str(Path(share) / 'config' / PROFILE))
