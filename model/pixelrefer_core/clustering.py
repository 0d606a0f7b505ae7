"""k-means over the cells of many objects at once, without randomness and without host synchronisation.

``B`` objects, ``N`` cells (padded), ``K`` clusters, ``C`` channels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch


def strided_seeds(count: int, clusters: int) -> npt.NDArray[np.int64]:
    """Return ``clusters`` evenly spaced indices into ``count`` row-major cells: the initial centroids.

    The weights were trained with a random draw of cells. An even stride follows the same density (unlike
    farthest-point seeding, which favours outliers), costs nothing, and gives the same tokens every time.
    """
    return np.arange(clusters, dtype=np.int64) * count // clusters


def kmeans(cells: torch.Tensor, valid: torch.Tensor, seeds: torch.Tensor, *, iterations: int) -> torch.Tensor:
    """Cluster the valid cells of each object by squared distance and return the centroids.

    ``cells``: float32 (B, N, C). ``valid``: bool (B, N). ``seeds``: int64 (B, K), indices of the initial
    centroids along N. Returns float32 (B, K, C). A cluster that loses all its cells keeps its centroid; an
    object whose centroids no longer move keeps them, as in the official early stop, but per object.
    """
    centroids = cells.gather(1, seeds[..., None].expand(-1, -1, cells.shape[-1]))  # (B, K, C)
    settled = torch.zeros(len(cells), 1, 1, dtype=torch.bool, device=cells.device)
    for _ in range(iterations):
        moved = _update(cells, valid, centroids)
        still = torch.isclose(moved, centroids, rtol=1e-5, atol=1e-6).flatten(1).all(dim=1)
        settled = settled | still[:, None, None]
        centroids = torch.where(settled, centroids, moved)
    return centroids


def _update(cells: torch.Tensor, valid: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    # Differences are formed directly: the matmul expansion of the square can flip a near tie.
    distances = torch.cdist(cells, centroids, compute_mode='donot_use_mm_for_euclid_dist')  # (B, N, K)
    nearest = distances.argmin(dim=2, keepdim=True)
    member = torch.zeros_like(distances).scatter_(2, nearest, 1.0) * valid[..., None]  # one-hot (B, N, K)
    sizes = member.sum(dim=1)[..., None]  # (B, K, 1)
    means = member.transpose(1, 2) @ cells / sizes.clamp(min=1.0)
    return torch.where(sizes > 0, means, centroids)
