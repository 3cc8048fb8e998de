"""What every test gets: exact float32 products, shapes checked anew, and a data folder that starts empty."""

import first_calls
import pytest
import torch

# TF32 would be mistaken for broken equivariance
torch.set_float32_matmul_precision("highest")


def pytest_runtest_setup():
    first_calls.calls.clear()


@pytest.fixture(scope="session", autouse=True)
def own_data_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PONITA_EDU_DATA", str(tmp_path_factory.mktemp("data")))
        yield
