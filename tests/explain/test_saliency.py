"""What a trained model goes by, where the truth is known."""

from functools import partial

import numpy as np
import pytest
from scipy import ndimage
from toy import training_plan

from mmdx.data.loading import Examples, ModalityDropout
from mmdx.data.splits import HoldOut
from mmdx.encoders.image import ImageTransform, SmallCNN
from mmdx.explain.attribution import Attributor, mean_items
from mmdx.fusion.gated import GatedMultimodalUnit
from mmdx.simulate.cohort import SimulatedCohort
from mmdx.study import Study
from mmdx.tasks.binary import Binary
from mmdx.training.plan import EncoderPlan, ModelPlan


@pytest.mark.slow
def test_attributions_lie_on_the_border_of_the_heart_where_its_width_alone_tells(tmp_path):
    cohort = SimulatedCohort(300, ("image",), information={"unique": {"image": 0.8}}, missing=None)
    encoders = {"image": EncoderPlan(partial(SmallCNN, width=32, blocks=3), ImageTransform(size=64))}
    model = ModelPlan(encoders, partial(GatedMultimodalUnit, hidden=16), Binary)
    study = Study(cohort, model, training_plan(trainer={"max_epochs": 6}), HoldOut(), tmp_path)
    study.run()
    (cell,) = study.cells(study.folds())
    trained = study.load(tmp_path, cell)
    examples = Examples(study.cohort, trained.transforms, study.target, 0, ModalityDropout(0.0))
    attribute = Attributor(trained.model, means=mean_items(examples[-1, int(row)] for row in cell.fold.train[:64]))
    ratios = []
    for batch in trained.batches(study.cohort, study.target, cell.fold.test[:32], study.training):
        for attribution in attribute(batch):
            heart = cohort.render(attribution.index, "image", with_truth=True).truth["masks"]["heart"]
            border = ndimage.binary_dilation(heart, iterations=4) & ~ndimage.binary_erosion(heart, iterations=4)
            size = np.kron(np.abs(attribution.items["image"][0][""][0]), np.ones((2, 2)))
            ratios.append(size[border].mean() / size[~border].mean())
    assert np.median(ratios) > 2
