"""One thread for torch, as our workers have: two tests side by side would wait for each other."""

import sys

import pytest


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


_HIDDEN: dict[str, object] = {}


@pytest.fixture(autouse=True, scope="module")
def no_lazy_modules_left():
    """Speechbrain leaves modules in `sys.modules` that import, warn or fail once looked at,
    which hypothesis does with every one there is: other tests had better not meet them.
    """
    sys.modules.update(_HIDDEN)
    yield
    lazy = {n: m for n, m in sys.modules.items() if type(m).__name__ == "DeprecatedModuleRedirect"}
    _HIDDEN.update(lazy)
    for name in lazy:
        del sys.modules[name]
