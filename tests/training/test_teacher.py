"""Facts about distillation from a finished run."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from toy import Line, Numbers, training_plan

from mmdx.data.splits import Fold, HoldOut, KFold
from mmdx.encoders.tuning import Frozen, FullTuning
from mmdx.errors import InputError
from mmdx.fusion.concat import Concatenation
from mmdx.study import Study
from mmdx.tasks.binary import Binary
from mmdx.training.module import MultimodalModule
from mmdx.training.plan import EncoderPlan, ModelPlan
from mmdx.training.teacher import Teacher, Teaching
from mmdx.types import Batch

CONFIG = {"data": {"name": "numbers", "seed": 0}, "task": {"_target_": "mmdx.tasks.binary.Binary"}}


class Rows:
    """A split at two rows."""

    def __init__(self, train, val):
        self.at = train, val

    def folds(self, table, labels):
        return [Fold("fold0", *np.split(np.arange(len(table)), self.at))]


def study(folder, names=Numbers.modalities, split=None, data=None, encode_once=False, **training):
    encoders = {m: EncoderPlan(lambda transform: Line(), tuning=Frozen() if encode_once else FullTuning()) for m in names}
    model = ModelPlan(encoders, partial(Concatenation, hidden=8, dropout=0.0), Binary)
    seeds = training.pop("seeds", (0,))
    settings = {"ablation": "none", "seeds": seeds, "encode_once": encode_once}
    return Study(data or Numbers(80), model, training_plan(**training), split or HoldOut(), folder, **settings)


def finished(folder, **settings):
    """A teacher's run with what the command writes beside it."""
    study(folder, **settings).run()
    training = {"fused_loss": 1.0, "per_modality_loss": 0.0, "checkpoint": "best"}
    OmegaConf.save({"encoders": {m: {} for m in Numbers.modalities}, "training": training, **CONFIG}, folder / "config.yaml")
    (folder / "metrics.json").write_text("{}")
    return folder


def teacher(run, student=CONFIG, data=None, split=None, **settings):
    def opened(folder):
        own = study(folder, split=split, data=data)
        own.prepare()
        return own

    return Teacher(str(run), student=lambda: student, opened=opened, **settings)


def test_the_loss_of_two_logits_by_hand():
    """p = 1/2 and q = 3/4: KL(p || q) = (log(2/3) + log(2)) / 2; the row that the teacher does not know counts nothing."""
    teaching = Teaching(torch.tensor([[9.0], [0.0], [7.0]]), torch.tensor([True, True, False]), "binary", 0.5, 1.0)
    student = torch.tensor([[np.log(3.0)], [5.0]], dtype=torch.float32, requires_grad=True)
    loss = teaching.loss(student, [1, 2])
    assert float(loss) == pytest.approx(0.5 * (np.log(2 / 3) + np.log(2)) / 2)
    [slope] = torch.autograd.grad(loss, [student])
    assert slope[:, 0].tolist() == pytest.approx([0.5 * (0.75 - 0.5), 0.0])  # d KL / d s = q - p


def test_a_step_takes_the_tasks_loss_and_the_teachers(monkeypatch):
    class Given(torch.nn.Module):
        encoders = torch.nn.ModuleDict()
        fusion = staticmethod(lambda features, present: features)

        def encode(self, batch):
            from mmdx.types import FusionOutput

            return FusionOutput(torch.tensor([[1.0], [-2.0]]))

    task, teaching = Binary(), Teaching(torch.tensor([[0.5], [0.0], [-1.0]]), torch.ones(3, dtype=torch.bool), "binary", 2.0, 3.0)
    module = MultimodalModule(Given(), task, [], None, None, 0, teaching=teaching)
    monkeypatch.setattr(module, "log", lambda *args, **settings: None)
    batch = Batch({}, {}, {}, torch.tensor([1.0, 0.0]), {"index": [2, 0]})
    p, q = torch.tensor([-1.0, 0.5]).div(3).sigmoid(), torch.tensor([1.0, -2.0]).div(3).sigmoid()
    apart = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    expected = task.loss(torch.tensor([[1.0], [-2.0]]), batch.target) + 2.0 * 9.0 * apart.mean()
    assert float(module.training_step(batch, 0)) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("encode_once", [False, True])
def test_a_student_of_one_modality_is_drawn_to_what_the_teacher_said_and_the_teacher_stays(tmp_path, encode_once):
    run = finished(tmp_path / "run", split=Rows(50, 65))
    checkpoint = run / "models" / "model" / "checkpoints" / "best.ckpt"
    before = checkpoint.read_bytes()
    teaching = teacher(run).teach(teacher(run).run.model, Numbers(80).table, Numbers(80).table["target"].to_numpy(), np.arange(50), Binary())
    told = pd.read_parquet(run / "predictions.parquet").set_index("sample_id")["prob"]
    rows = [int(name[1:]) for name in told.index]
    assert torch.sigmoid(teaching.logits[rows, 0]).numpy() == pytest.approx(told.to_numpy(), abs=1e-6)

    def apart(weight, folder):
        settings = {"teacher": teacher(run, weight=weight), "trainer": {"max_epochs": 20}, "checkpoint": "last"}
        own = study(tmp_path / folder, ("left",), Rows(50, 65), encode_once=encode_once, **settings)
        prob = own.run().set_index("sample_id")["prob"]
        assert own.earlier()["distillation.run"][0]["run"] == str(run / "models" / "model")
        return np.abs(prob - told[prob.index]).mean()

    assert apart(50.0, "drawn") < apart(0.0, "free")
    assert checkpoint.read_bytes() == before


def test_a_teacher_that_knows_a_test_sample_is_refused(tmp_path):
    run = finished(tmp_path / "run", split=Rows(50, 65))
    with pytest.raises(InputError, match=r"distillation.run=.*run: the teacher was trained or chosen on 5 of the 20 test samples of model"):
        study(tmp_path / "next", split=Rows(40, 60), teacher=teacher(run)).run()
    assert not (tmp_path / "next" / "models").exists()


def test_of_a_runs_folds_and_seeds_the_one_that_knows_no_test_sample_teaches(tmp_path):
    run = finished(tmp_path / "run", split=KFold(folds=3), seeds=(0, 1))
    own = study(tmp_path / "next", split=KFold(folds=3), seeds=(1, 2), teacher=teacher(run))
    own.begin()
    assert {name: model["name"] for name, model in own.teachers.items()} == {
        f"seed{seed}-fold{fold}": f"seed{1 if seed == 1 else 0}-fold{fold}" for seed in (1, 2) for fold in range(3)
    }


def test_samples_that_the_teachers_data_lacks_are_left_to_the_task(tmp_path):
    larger = Numbers(80)
    larger.table["sample_id"] = [f"s{i:03d}" if i < 70 else f"new{i}" for i in range(80)]
    run = finished(tmp_path / "run", split=Rows(50, 65))
    teaching = teacher(run).teach(teacher(run).run.model, larger.table, larger.table["target"].to_numpy(), np.arange(50), Binary())
    assert teaching.known.tolist() == [True] * 70 + [False] * 10


@pytest.mark.parametrize("case", ["target", "nobody", "task", "no run", "not given", "scale"])
def test_a_teacher_of_something_else_is_named(tmp_path, case):
    run = finished(tmp_path / "run", split=Rows(50, 65))
    data, student = Numbers(80), CONFIG
    if case == "target":
        data.table.loc[3, "target"] = 1 - data.table.loc[3, "target"]
    if case == "nobody":
        data.table["sample_id"] = [f"x{i}" for i in range(80)]
        data.table["patient_id"] = data.table["sample_id"]
    if case == "task":
        student = CONFIG | {"task": {"_target_": "mmdx.tasks.multiclass.Multiclass"}}
    if case == "scale":
        path = run / "models" / "model" / "fitted.json"
        path.write_text(path.read_text().replace('"task": {', '"task": {"mean": 2.0,'))
    given = {"no run": tmp_path / "nowhere", "not given": ""}.get(case, run)
    told = {
        "target": "sample 's003' has another target there; the teacher must be of the same cohort",
        "nobody": "its data has none of the samples",
        "task": "the teacher has task._target_=mmdx.tasks.binary.Binary, the student mmdx.tasks.multiclass.Multiclass",
        "no run": "distillation.run=.*nowhere: no run there",
        "not given": "distillation.run: not given",
        "scale": "its task was fitted on other training rows",
    }

    class Scaled(Binary):
        def fit(self, target):
            return super().fit(target) | {"mean": 1.0}

    with pytest.raises(InputError, match=told[case]):
        own = study(tmp_path / "next", split=Rows(50, 65), data=data, teacher=teacher(given, student))
        own.model.task = Scaled if case == "scale" else Binary
        own.run()
