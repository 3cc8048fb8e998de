"""What every test gets: exact float32 products, shapes checked anew, and a data folder that starts empty."""

import first_calls
import pytest


@pytest.fixture(scope="session", autouse=True)
def exact_products():
    import torch  # not above: the process that only hands out tests to others would load it too

    torch.set_float32_matmul_precision("highest")  # TF32 would be mistaken for broken equivariance


def pytest_runtest_setup():
    first_calls.calls.clear()


@pytest.fixture(scope="session", autouse=True)
def own_data_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PONITA_EDU_DATA", str(tmp_path_factory.mktemp("data")))
        yield
