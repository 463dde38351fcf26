"""One who knows the renderers and reads film, note and heart sound comes as near to the optimum as reading allows."""

import re

import numpy as np
import pytest
import test_render_heart_sound as sound
import test_render_note as note
import test_render_radiograph as film
from sklearn.metrics import roc_auc_score

from mmdx.simulate.cohort import SimulatedCohort
from mmdx.simulate.latent import subsets

N = 700


def read(cohort, row):
    """The unique and the redundant finding as each modality shows them, in standard deviations."""
    shown = {m: cohort.render(row, m, with_truth=True) for m in cohort.modalities}
    image, text, heard = shown["image"].raw, shown["text"].raw, sound.read(shown["audio"])
    return {
        "image": ((film.cardiothoracic_ratio(image) - 0.50) / 0.05, (film.effusion_level(image) - 0.26) / 0.04),
        "text": (0.36 * note.severity(text) - 3.6, 0.6 * note.counted(note.CERTAINTY, text, re.I) - 3.6),
        "audio": ((heard["systolic"][0] + 18) / 3.5, (heard["diastolic"][0] + 20) / 3),
    }


@pytest.mark.slow
def test_readings_reach_the_optimum_of_every_subset():
    cohort = SimulatedCohort(samples=N, modalities=("image", "text", "audio"), missing={})
    d = {source.name: source.separation for source in cohort.model.sources}
    readings = [read(cohort, row) for row in range(N)]
    for subset in subsets(cohort.modalities):
        unique = sum(d[f"unique {m}"] * np.array([r[m][0] for r in readings]) for m in subset)
        redundant = d["redundant audio+image+text"] * np.mean([[r[m][1] for r in readings] for m in subset], axis=0)
        reached, oracle = (roc_auc_score(cohort.target, score) for score in (unique + redundant, cohort.posterior(subset)))
        assert abs(reached - oracle) < 0.01, f"{subset}: {reached:.3f} read, {oracle:.3f} known"
