"""Facts about compiled training: the same model to rounding, plain names, and one sentence where there is no compiler."""

import numpy as np
import pytest
import torch
from toy import Numbers, model_plan, training_plan

from mmdx.data.loading import ModalityDropout
from mmdx.data.splits import HoldOut
from mmdx.errors import InputError
from mmdx.study import Study


def study(folder, **changes):
    return Study(Numbers(), model_plan(), training_plan(modality_dropout=ModalityDropout(0.0), **changes), HoldOut(), folder)


@pytest.mark.slow
def test_compiled_training_leaves_a_plain_model_that_predicts_the_same_when_loaded(tmp_path):
    done = study(tmp_path, compile=True)
    frame = done.run()
    state = torch.load(tmp_path / "models" / "model" / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert "model.encoders.left.body.0.weight" in state and not any("_orig_mod" in name for name in state)
    again = study(tmp_path / "again")
    again.prepare()
    assert np.array_equal(again.evaluate(tmp_path, everything=False)["prob"].to_numpy(), frame["prob"].to_numpy())
    kept = torch.load(tmp_path / "models" / "model" / "checkpoints" / "last.ckpt", weights_only=True)
    assert kept["global_step"] > 0


def test_a_compiler_that_fails_is_one_sentence(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr("torch._inductor.compile_fx.compile_fx", fail)
    torch._dynamo.reset()
    message = r"training.compile=true: torch could not compile the model \(.*no C\+\+ compiler.*\); set training.compile=false"
    with pytest.raises(InputError, match=message):
        study(tmp_path, compile=True).run()
