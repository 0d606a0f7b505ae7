"""The part of the package's metadata that depends on what is there; the rest is in pyproject.toml."""

from pathlib import Path

from setuptools import setup

# The small trained models lie beside the packages in the source tree and in share/ once installed, at the
# place where the colcon build puts them too.
weights = sorted(path for path in Path('model/weights').rglob('*') if path.is_file())

setup(
    data_files=[
        (
            f'share/pixelrefer_ros/{folder.relative_to("model")}',
            [str(p) for p in weights if p.parent == folder],
        )
        for folder in sorted({path.parent for path in weights})
    ]
)
