"""Clustering follows a plain k-means written out with loops, and does not depend on its neighbours."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pixelrefer_core.clustering import kmeans, strided_seeds


def plain_kmeans(cells: np.ndarray, seeds: np.ndarray, iterations: int) -> np.ndarray:
    """One object, cluster by cluster, as the paper describes it."""
    centroids = cells[seeds].copy()
    for _ in range(iterations):
        nearest = ((cells[:, None] - centroids[None]) ** 2).sum(-1).argmin(1)
        moved = centroids.copy()
        for cluster in range(len(centroids)):
            if (nearest == cluster).any():
                moved[cluster] = cells[nearest == cluster].mean(0)
        if np.allclose(moved, centroids, rtol=1e-5, atol=1e-6):
            break
        centroids = moved
    return centroids


def padded(objects: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(len(item) for item in objects)
    cells = torch.zeros(len(objects), longest, objects[0].shape[1])
    valid = torch.zeros(len(objects), longest, dtype=torch.bool)
    for row, item in enumerate(objects):
        cells[row, : len(item)] = torch.from_numpy(item)
        valid[row, : len(item)] = True
    return cells, valid


@pytest.fixture
def objects() -> list[np.ndarray]:
    random = np.random.default_rng(7)
    return [random.normal(size=(count, 6)).astype(np.float32) for count in (40, 90, 33)]


@pytest.mark.parametrize('iterations', [1, 3, 5, 50])
def test_a_batch_gives_what_a_plain_loop_gives_for_each_object(objects: list[np.ndarray], iterations: int):
    seeds = np.stack([np.random.default_rng(i).permutation(len(o))[:8] for i, o in enumerate(objects)])

    result = kmeans(*padded(objects), torch.from_numpy(seeds), iterations=iterations)

    for row, item in enumerate(objects):
        np.testing.assert_allclose(result[row], plain_kmeans(item, seeds[row], iterations), atol=2e-6)


def test_a_cluster_that_loses_its_cells_keeps_its_centroid():
    # Both seeds are the same point: argmin gives everything to the first of them.
    cells = torch.tensor([[[0.0], [0.0], [9.0]]])
    seeds = torch.tensor([[0, 1]])

    result = kmeans(cells, torch.ones(1, 3, dtype=torch.bool), seeds, iterations=1)

    assert result.flatten().tolist() == pytest.approx([3.0, 0.0])


def test_padding_takes_no_part():
    cells = torch.tensor([[[1.0], [3.0], [100.0]]])
    valid = torch.tensor([[True, True, False]])

    result = kmeans(cells, valid, torch.tensor([[0]]), iterations=5)

    assert result.item() == pytest.approx(2.0)


def test_a_gradient_flows_through_the_means():
    cells = torch.randn(1, 40, 4, requires_grad=True)
    valid = torch.ones(1, 40, dtype=torch.bool)

    kmeans(cells, valid, torch.arange(8)[None], iterations=3).sum().backward()

    assert torch.isfinite(cells.grad).all()
    assert cells.grad.abs().sum() > 0


def test_seeds_are_spread_evenly_and_differ():
    assert strided_seeds(8, 4).tolist() == [0, 2, 4, 6]
    for count in (33, 60, 1024):
        seeds = strided_seeds(count, 32)
        assert len(set(seeds.tolist())) == 32
        assert 0 <= seeds.min() <= seeds.max() < count
