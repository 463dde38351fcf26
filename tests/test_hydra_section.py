"""Nothing that Hydra would make for itself comes from a config unseen."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import CompactHydraException

from mmdx.commands.hydra_app import composed, config_folder
from mmdx.commands.hydra_section import guard
from mmdx.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
HOSTILE = ["os.system", "torch.load", "torch.hub.load", "torch.utils.cpp_extension.load_inline", "monai.bundle.run", "subprocess.Popen",
           "mmdx.run.os.system", "mmdx.files.write_text", "hydra.utils.call", "hydra_plugins.mmdx_optuna.os.system",
           "logging.config.fileConfig"]  # fmt: skip
PLACES = [
    "++hydra.callbacks.x._target_={}",
    "++hydra.callbacks.x.y._target_={}",
    "++hydra.callbacks.x=[{{_target_: {}}}]",
    "++hydra.callbacks.folder._target_={}",
    "hydra.launcher._target_={}",
    "hydra.sweeper._target_={}",
    "++hydra.hydra_logging.handlers.x.class={}",
    "++hydra.job_logging.formatters.x.class={}",
    "++hydra.job_logging.handlers.x.stream=ext://{}",
]


def load(*overrides, name="train"):
    guard()
    with initialize_config_dir(config_folder(), version_base="1.3"):
        return compose(name, overrides=list(overrides), return_hydra_config=True)


@pytest.mark.parametrize("target", HOSTILE)
def test_a_stranger_in_hydras_own_part_is_refused_by_its_key(target):
    for place in PLACES:
        if target.startswith("hydra_plugins.") and place.startswith("hydra."):
            continue  # Hydra looks it up among registered plug-ins
        with pytest.raises(CompactHydraException, match=r"error: hydra\.\w+.*refused") as told:
            load(place.format(target), name="evaluate" if "folder" in place else "train")
        assert target in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize("value", ["'${encoders.evil}'", "\"${oc.decode:'{_target_: os.system}'}\"", "{'()': os.system, command: touch ran}"])
@pytest.mark.parametrize("place", ["callbacks: {x: VALUE}", "launcher: VALUE", "sweeper: VALUE", "job_logging: {handlers: {console: VALUE}}"])
def test_nor_does_it_come_from_a_file(place, value, tmp_path):
    """By an interpolation that leads elsewhere, or as logging makes objects; of launcher and sweeper Hydra itself takes no text."""
    evil = "encoders: {evil: {_target_: os.system, command: touch ran}}"
    own = f"hydra:\n  searchpath: ['file://{config_folder()}']\n  {place.replace('VALUE', value)}\n"
    (tmp_path / "config.yaml").write_text(f"defaults:\n  - train\n  - _self_\n{evil}\n{own}")
    guard()
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        if place.startswith("callbacks") and "()" in value:  # makes nothing there
            assert compose("config", return_hydra_config=True).hydra.callbacks.x.command == "touch ran"
            return
        with pytest.raises(CompactHydraException, match="refused|is not a subclass of Basic|not in 'Basic"):
            compose("config", return_hydra_config=True)


@pytest.mark.parametrize(("key", "value", "launcher"), [
    ("job.env_set", "{GIT_EXTERNAL_DIFF: touch ran}", "basic"),
    ("launcher.setup", "[touch ran]", "submitit_slurm"),
    ("launcher.ray.remote", "{runtime_env: {py_executable: touch ran}}", "ray"),
    ("launcher.ray.init", "{address: touch ran}", "ray"),
])  # fmt: skip
def test_commands_and_variables_are_typed_or_refused(key, value, launcher, tmp_path):
    node = value
    for name in reversed(key.split(".")):
        node = f"{{{name}: {node}}}"
    searched = f"  searchpath: ['file://{config_folder()}']\n"
    defaults = f"defaults:\n  - train\n  - override hydra/launcher: {launcher}\n  - _self_\n"
    (tmp_path / "config.yaml").write_text(f"{defaults}hydra:\n{searched}  {node[1:-1]}\n")
    guard()
    with initialize_config_dir(str(tmp_path), version_base="1.3"), pytest.raises(CompactHydraException, match="command line"):
        compose("config", return_hydra_config=True)
    word = f"++hydra.{key}={value.replace('touch ran', 'typed')}"
    assert "typed" in str(load(f"hydra/launcher={launcher}", word).hydra)


@pytest.mark.parametrize("given", [{"account": "a\n touch ran"}, {"account\n touch ran\n": "a"}])
def test_no_line_of_a_batch_script_comes_from_a_file(given, tmp_path):
    own = {"searchpath": [f"file://{config_folder()}"], "launcher": {"additional_parameters": given}}
    defaults = ["train", {"override hydra/launcher": "submitit_slurm"}, "_self_"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"defaults": defaults, "hydra": own}))
    guard()
    with initialize_config_dir(str(tmp_path), version_base="1.3"), pytest.raises(CompactHydraException, match="text of one line") as told:
        compose("config", return_hydra_config=True)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("place", ["pkg://evil", "pkg://evil.conf", "${where}"])
def test_no_package_is_imported_to_look_for_configs(place, tmp_path, monkeypatch):
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "__init__.py").write_text("raise SystemExit('ran')")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"where": "pkg://evil", "hydra": {"searchpath": [f"file://{config_folder()}", place]}}))
    guard()
    with initialize_config_dir(str(tmp_path), version_base="1.3"), pytest.raises(CompactHydraException, match=r"hydra.searchpath=pkg://evil.*refused"):
        compose("config", return_hydra_config=True)


def test_what_belongs_there_is_taken():
    for words in ([], ["hydra/sweeper=optuna"], ["hydra/sweeper=optuna", "hydra/sweeper/sampler=grid", "hydra/sweeper/pruner=median"],
                  *([f"hydra/launcher={path.stem}"] for path in (ROOT / "conf" / "hydra" / "launcher").glob("*.yaml"))):  # fmt: skip
        assert load(*words).hydra.callbacks.folder


def test_the_commands_refuse_before_they_run_it(tmp_path):
    for script in ("train.py", "evaluate.py"):
        words = ["++hydra.callbacks.x._target_=os.system", "++hydra.callbacks.x.command='touch ran'"]
        done = subprocess.run([sys.executable, str(ROOT / script), *words], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 1 and done.stderr.startswith("error: hydra.callbacks.x._target_=os.system: refused"), done.stderr
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("words", "told"), [
    (["+experiment=fusion_missing", "fusion=gatd"], "fusion=gatd: no such config; did you mean gated? fusion has bilinear, "),
    (["+experiment=nope"], "experiment=nope: no such config; experiment has fusion_missing, "),
    (["experiment=pcg"], "experiment: no such key; look at --help for those that there are, and write +experiment=VALUE to add one."),
    (["seed"], "seed: Hydra can't read it (missing EQUAL at '<EOF>'); see https://hydra.cc/"),
    (["seed=interval(1,"], "seed=interval(1,: Hydra can't read it (no viable alternative at input 'interval(1,'); see"),
    (["~nope"], "Could not delete from config. 'nope' does not exist."),
])  # fmt: skip
def test_what_hydra_refuses_is_one_sentence(words, told):
    with pytest.raises(InputError) as fault:
        composed(words)
    assert str(fault.value).startswith(told) and "\n" not in str(fault.value)


@pytest.mark.parametrize("words", [["fusion=gatd"], ["-m", "seed=0,1", "fusion=gatd"], ["--config-name", "nope"], ["hydra.run.dir=${nope}"]])
def test_a_command_tells_it_without_a_trace(words, tmp_path):
    done = subprocess.run([sys.executable, str(ROOT / "train.py"), *words], capture_output=True, text=True, cwd=tmp_path)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and line.startswith("error: ")
