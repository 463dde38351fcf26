"""What stands in an absent slot changes no bit of what a whole model computes, for each encoder we ship a config of that trains from scratch."""

import pytest
import torch
from hydra import compose, initialize_config_dir

from mmdx.commands.hydra_app import config_folder
from mmdx.configuration import resolved
from mmdx.parts import study_from
from mmdx.training.build import build_model, fit_transforms
from mmdx.training.fit import TrainedModel

ENCODERS = ["image/small_cnn", "text/small_transformer", "text/bag_of_words", "audio/logmel_cnn", "audio/waveform_cnn", "audio/spectral",
            "tabular/mlp", "tabular/ft_transformer"]
FUSIONS = ["concat", "sum", "gated", "tokens", "late", "late_sum"]


def spoiled(inputs, absent, value):
    if isinstance(inputs, dict):
        return {name: spoiled(part, absent, value) for name, part in inputs.items()}
    mask = absent.reshape(*absent.shape, *[1] * (inputs.ndim - 2)).expand_as(inputs)
    return inputs.masked_fill(mask, value if inputs.is_floating_point() else 1)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_absent_slots_change_no_bit_of_a_model_with_all_modalities(fusion, tmp_path):
    for group in (ENCODERS[0:1] + ENCODERS[1:2] + ENCODERS[3:4] + ENCODERS[6:7], ENCODERS[0:1] + ENCODERS[2:3] + ENCODERS[5:6] + ENCODERS[7:8]):
        placed = [f"+encoder/{e.split('/')[0]}@encoders.{e.split('/')[0]}={e.split('/')[1]}" for e in group]
        with initialize_config_dir(config_folder(), version_base="1.3"):
            cfg = resolved(compose("train", overrides=[*placed, f"fusion={fusion}", "data.samples=24", "logger=none"]))
        study = study_from(cfg, tmp_path)
        study.prepare()
        transforms, _ = fit_transforms(study.model, study.cohort, study.rows)
        torch.manual_seed(0)
        model = build_model(study.model, transforms, 1)
        for layer in model.fusion.modules():
            if isinstance(layer, torch.nn.Linear):
                torch.nn.init.normal_(layer.weight)  # heads begin at zero, where nothing could change a logit
        trained = TrainedModel(model, study.model.task(), transforms, torch.device("cpu"))
        batch = next(iter(trained.batches(study.cohort, study.target, study.rows[:16], study.training)))
        start = {name: value.clone() for name, value in model.state_dict().items()}
        for training in (True, False):
            results = []
            for value in (0.0, float("nan"), 1e30):
                model.load_state_dict(start)
                model.train(training)
                data = batch._map(torch.clone)
                data.inputs = {m: spoiled(x, ~data.items[m], value) for m, x in data.inputs.items()}
                torch.manual_seed(1)
                results.append([model(data).logits.detach(), *(v.clone() for v in model.state_dict().values())])
            for other in results[1:]:
                assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True)), (group, training)
