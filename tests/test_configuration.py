"""What is wrong with a config is said in one sentence before any data is read."""

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mmdx.commands.hydra_app import config_folder
from mmdx.configuration import check_config, resolved
from mmdx.errors import InputError
from mmdx.parts import model_plan, training_plan
from mmdx.training.fit import OURS, check_trainer, device_of
from mmdx.training.plan import TrainingPlan


def config(*overrides):
    with initialize_config_dir(config_folder(), version_base="1.3"):
        return resolved(compose("train", overrides=["+experiment=xray_text", *overrides]))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+training.learning_rate=0.1", "training.learning_rate: no such key; known are "),
        ("+training.patiense=3", "training.patiense: no such key; did you mean patience?"),
        ("+evaluation.resample=10", "evaluation.resample: no such key; did you mean resamples?"),
        ("+sed=3", r"sed: no such key; did you mean seed\? .*go under recipe"),
        ("+encoder/image=resnet18", "encoder: no such key; place a part by .*encoders.NAME"),
        ("training.modality_dropout={imag: 0.2}", r"training.modality_dropout.imag: no such key; did you mean image\?"),
        ("training.modality_dropout={rate: {imag: 0.2}, epochs: 3}", r"training.modality_dropout.rate.imag: no such key; did you mean image\?"),
        ("training.modality_dropout={rate: 0.2, epochs: 3, begin: 0}", "training.modality_dropout.begin: no such key; .*start"),
    ],
)
def test_a_key_that_nothing_reads_is_refused(override, message):
    with pytest.raises(InputError, match=message):
        check_config(config(override))


def test_modality_dropout_may_change_over_the_epochs():
    cfg = config("training.modality_dropout={rate: {image: 0.4}, start: 0.1, epochs: 3}")
    check_config(cfg)
    dropout = training_plan(cfg).modality_dropout
    assert (dropout.rate, dropout.start, dropout.epochs) == ({"image": 0.4}, 0.1, 3)


def test_values_of_ones_own_go_under_recipe():
    cfg = config("+recipe.size=7", "trainer.max_epochs=${recipe.size}")
    check_config(cfg)
    assert cfg.trainer.max_epochs == 7


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+trainer.max_epoch=3", "trainer.max_epoch: Lightning's Trainer has no such argument; did you mean max_epochs?"),
        ("trainer.precision=foo", "trainer: Precision 'foo' is invalid"),
        ("+trainer.fast_dev_run=true", "trainer.fast_dev_run: not to be set, since it trains nothing that is kept"),
        ("+optimizer.momentun=0.9", "optimizer .torch.optim.AdamW.: .*momentun"),
    ],
)
def test_what_lightning_or_the_optimiser_would_refuse_late_is_refused_first(override, message):
    with pytest.raises(InputError, match=message):
        cfg = config(override)
        training_plan(cfg)
        check_trainer(dict(cfg.trainer))


@pytest.mark.parametrize("name", sorted(OURS))
def test_arguments_that_mmdx_sets_are_said_to_be_its_own(name):
    with pytest.raises(InputError, match=f"trainer.{name}: not to be set, since "):
        check_trainer({name: True})


ALIGNED = ("alignment=siglip", "alignment.adapter=0")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "choose an alignment"),
        (["alignment=siglip"], "set alignment.adapter=0, since an adapter stays behind"),
        ([*ALIGNED, "alignment.weight=0"], "set alignment.weight above 0"),
        ([*ALIGNED, "distillation=full_modality"], "set distillation=none"),
        ([*ALIGNED, "training.encode_once=true"], "set training.encode_once=false"),
        ([*ALIGNED, "ablation=retrained"], "set ablation=none"),
        ([*ALIGNED, "~encoders.text"], "give two or more of encoders"),
    ],
)
def test_pretraining_needs_an_alignment_and_nothing_between(overrides, message):
    check_config(config("training=pretraining", *ALIGNED))
    with pytest.raises(InputError, match=f"training=pretraining: encoders learn from the alignment alone; .*{message}"):
        check_config(config("training=pretraining", *overrides))


@pytest.mark.parametrize("experiment", ["pcg", "tri_modal", "xray_text", "xray_text_tabular", "xray_text_pretrained"])
def test_every_experiments_config_can_be_resolved_in_place(experiment):
    with initialize_config_dir(config_folder(), version_base="1.3"):
        cfg = compose("train", overrides=[f"+experiment={experiment}"])
    OmegaConf.resolve(cfg)  # what --cfg job --resolve does
    assert "${" not in OmegaConf.to_yaml(cfg)


@pytest.mark.parametrize("kind", ["gpu", "cuda", "mps", "tpu"])
def test_a_run_trained_on_an_accelerator_that_is_not_here_is_evaluated_on_what_is(kind):
    assert device_of(TrainingPlan(trainer={"accelerator": kind})).type in ("cpu", "cuda", "mps")


@pytest.mark.parametrize("overrides", [["task=multiclass", "task.classes=[a,b,c]"], ["task=multilabel", "task.labels=[x,y]"], ["task=binary"]])
def test_every_task_can_be_chosen(overrides):
    model_plan(config(*overrides))


@pytest.mark.parametrize("name", ["values", "training"])
def test_a_modality_cannot_be_called_what_torch_or_python_calls_something_else(name):
    cfg = config(f"+encoder/image@encoders.{name}=small_cnn")
    with pytest.raises(InputError, match=f"encoders.{name}: "):
        check_config(cfg)
        model_plan(cfg)


def test_more_processes_than_cores_are_refused():
    with pytest.raises(InputError, match="CPU cores"):
        check_trainer({"accelerator": "cpu", "devices": 10_000})


def test_bfloat16_is_refused_on_a_gpu_that_does_not_compute_in_it(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: False)
    with pytest.raises(InputError, match="trainer.precision=bf16-mixed: this GPU does not compute in bfloat16; use 16-mixed or 32-true"):
        check_trainer({"accelerator": "auto", "precision": "bf16-mixed"})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.bucket_by=txt"], "training.bucket_by=txt: must be one of the encoders image, text, or null"),
        (["training.bucket_by=text", "training.encode_once=true"], "training.bucket_by: for training end to end"),
        (["training.bucket_by=text", "training.order=stratified"], "sorting by length undoes training.order=stratified"),
        (["training.channels_last=maybe"], "training.channels_last=maybe: must be auto, true or false"),
        (["training.compile=1"], "training.compile=1: must be true or false"),
    ],
)
def test_options_of_speed_are_checked_before_any_data_is_read(overrides, message):
    cfg = config(*overrides)
    with pytest.raises(InputError, match=message):
        check_config(cfg)
        training_plan(cfg)
