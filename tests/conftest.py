"""What every test gets: exact float32 products, shapes checked anew, and a data folder that starts empty."""

import gc

import first_calls
import pytest

gc.disable()  # while tests and all that they import are loaded, of which nothing can be freed


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop():
    gc.freeze()  # the collector need not look at a million objects again whenever a test makes some
    gc.enable()


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
