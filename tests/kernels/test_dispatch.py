"""How an op picks its backend, and what it says when it cannot have the one asked for."""

import subprocess
import sys

import pytest
import torch

from aya_kernels import token_logps, weighted_sum
from aya_kernels.shared.dispatch import choose_backend


def test_auto_is_plain_torch_on_cpu_even_when_the_interpreter_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert choose_backend("auto", [torch.ones(1)], op="some_op") == "torch"


def test_triton_on_cpu_is_refused_with_the_reason_and_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ValueError, match=r"weighted_sum.*'triton' cannot run here.*'cpu'.*TRITON_INTERPRET=1"):
        weighted_sum([torch.ones(1)], [1.0], backend="triton")


def test_triton_on_cpu_is_allowed_in_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert choose_backend("triton", [torch.ones(1)], op="some_op") == "triton"


def test_triton_refuses_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    with pytest.raises(ValueError, match="float64; convert to float32"):
        token_logps(torch.ones(1, 2).double(), torch.ones(3, 2), torch.tensor([0]), backend="triton")


def test_triton_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="triton is not installed"):
        choose_backend("triton", [torch.ones(1)], op="some_op")


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ValueError, match="no backend named 'cuda'"):
        choose_backend("cuda", [torch.ones(1)], op="some_op")


def test_importing_the_package_and_using_it_on_cpu_does_not_import_triton() -> None:
    code = (
        "import sys, torch, aya_kernels; aya_kernels.weighted_sum([torch.ones(1)], [1.0]);"
        "aya_kernels.token_logps(torch.ones(1, 2), torch.ones(3, 2), torch.tensor([0]));"
        "sys.exit('triton' in sys.modules)"
    )
    search_path = [path for path in sys.path if path]
    child = subprocess.run([sys.executable, "-c", f"import sys; sys.path[:] = {search_path}; {code}"], check=False)
    assert child.returncode == 0
