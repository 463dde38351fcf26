"""How unlike the training data a sample is, from the features that the encoders make of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from sklearn.covariance import ledoit_wolf

from mmdx.errors import InputError
from mmdx.training.model import MultimodalModel
from mmdx.types import Batch

MOST_CLASSES = 20


@dataclass(frozen=True)
class ClassGaussians:
    """One modality's features as Gaussians, one a class, that share a covariance.

    Attributes:
        means: of the classes, [K, D].
        root: [D, D], with which a difference of features is multiplied so that its squared length is the Mahalanobis distance.
        center, spread: mean and standard deviation of the training rows' distances.
    """

    means: np.ndarray
    root: np.ndarray
    center: float = 0.0
    spread: float = 1.0

    def distance(self, features: np.ndarray) -> np.ndarray:
        """Squared Mahalanobis distance [n] of features [n, D] to the nearest class mean, in standard deviations of the training rows' above their
        mean.
        """
        moved, means = features @ self.root, self.means @ self.root
        squared = np.stack([((moved - mean) ** 2).sum(axis=1) for mean in means])
        return (squared.min(axis=0) - self.center) / self.spread


class Detector:
    """Says how unlike the training data samples are.

    Args:
        gaussians: of each modality that the training rows had often enough.
    """

    def __init__(self, gaussians: dict[str, ClassGaussians]) -> None:
        self.gaussians = gaussians

    def score(self, model: MultimodalModel, batches: Iterable[Batch], device: torch.device) -> pd.DataFrame:
        """``index`` and ``ood_score``, higher for what is less like the training data: the mean over the modalities that a sample has of its
        distance. NaN for a sample that has none of the modalities that the detector knows.
        """
        features, present, _, index = _pooled(model, batches, device)
        total, count = np.zeros(len(index)), np.zeros(len(index))
        for m, gaussians in self.gaussians.items():
            here = present[m]
            total[here] += gaussians.distance(features[m][here])
            count[here] += 1
        score = np.divide(total, count, out=np.full(len(index), np.nan), where=count > 0)
        return pd.DataFrame({"index": index, "ood_score": score}).drop_duplicates("index", ignore_index=True)


def fit(model: MultimodalModel, batches: Iterable[Batch], device: torch.device) -> Detector:
    """Learn where the training split's features lie (Lee et al. 2018, arXiv:1807.03888, on the last layer of each encoder).

    Of each modality the pooled features of the rows that have it are Gaussian around their class's mean with one covariance, shrunk towards a
    multiple of the identity (Ledoit & Wolf 2004). Targets that are no classes (several labels, numbers of more than 20 values) make one class.

    Args:
        model: trained.
        batches: of the training split, without augmentation.
        device: where the model runs.

    Raises:
        InputError: where no modality is there in at least three rows.
    """
    features, present, target, _ = _pooled(model, batches, device)
    classes = _classes(target)
    gaussians = {m: _fit(features[m][here], classes[here]) for m, here in present.items() if here.sum() >= 3}
    if not gaussians:
        raise InputError(f"out-of-distribution score: none of the {len(target)} training rows' modalities is there in three rows or more.")
    return Detector(gaussians)


def _fit(features: np.ndarray, classes: np.ndarray) -> ClassGaussians:
    _, places = np.unique(classes, return_inverse=True)
    means = np.stack([features[places == k].mean(axis=0) for k in range(places.max() + 1)])
    covariance, _ = ledoit_wolf(features - means[places], assume_centered=True)
    floor = 1e-6 * max(float(np.trace(covariance)) / len(covariance), 1e-6)  # keeps features without spread finite
    values, vectors = np.linalg.eigh(covariance)
    fitted = ClassGaussians(means, vectors / np.sqrt(np.maximum(values, floor)))
    distances = fitted.distance(features)
    return ClassGaussians(means, fitted.root, float(distances.mean()), max(float(distances.std()), 1e-9))


def _classes(target: np.ndarray) -> np.ndarray:
    """Numbers of the classes [n] where the target has classes, else one for all."""
    whole = target.ndim == 1 and np.array_equal(target, np.round(target))
    return target if whole and len(np.unique(target)) <= MOST_CLASSES else np.zeros(len(target))


@torch.no_grad()
def _pooled(
    model: MultimodalModel, batches: Iterable[Batch], device: torch.device
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray, list[int]]:
    """Of each modality the pooled features [n, D] and whether it is there [n]; the targets and the rows' numbers."""
    model = model.to(device).eval()
    features: dict[str, list[np.ndarray]] = {m: [] for m in model.modalities}
    present: dict[str, list[np.ndarray]] = {m: [] for m in model.modalities}
    target, index = [], []
    for batch in batches:
        for m, encoded in model.encode(batch.to(device)).items():
            features[m].append(encoded.pooled.double().numpy(force=True))
            present[m].append(batch.present[m].numpy(force=True))
        target.append(batch.target.numpy(force=True))
        index += batch.meta["index"]
    joined = [{m: np.concatenate(parts) for m, parts in each.items()} for each in (features, present)]
    return joined[0], joined[1], np.concatenate(target), index
