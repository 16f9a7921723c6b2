"""What all tests share: one torch thread, one compile cache for every worker, a registry to spoil, and a user
who may not read everything."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from paribus import registry

# How long an example takes is the machine's affair: a paused or busy one must not fail a test.
settings.register_profile("paribus", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("paribus")


def pytest_configure(config: pytest.Config) -> None:
    # Inductor keys its cache by the code it generates, so a folder that outlives the run cannot go stale;
    # it must be named before torch is imported. Worker processes of xdist and of studies inherit it.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(config.rootpath / ".pytest_cache" / "inductor"))
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    os.environ.setdefault("TRITON_CACHE_DIR", str(config.rootpath / ".pytest_cache" / "triton"))


@pytest.fixture(scope="session", autouse=True)
def one_torch_thread() -> None:
    """Tiny tensors gain nothing from threads; tests that never import torch do not pay for it here."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture
def fresh_compiler() -> Iterator[None]:
    """Nothing that another test compiled is seen, and nothing is left behind."""
    import torch

    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.fixture
def fused_above_256(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention takes the plain form up to 256 tokens and the fused one above, whatever the measured table says."""
    import torch

    short = {("cpu", torch.float32, biased): [(256, "plain")] for biased in (True, False)}
    monkeypatch.setattr("paribus.ops.attention._MEASURED", short)


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> registry.Registry:
    """A registry with all built-in parts, to which the test may add: it is thrown away afterwards."""
    own = registry.Registry()
    for cards in registry.catalog().values():
        for card in cards.values():
            own.add(card)
    monkeypatch.setattr(registry, "_registry", own)
    return own


@pytest.fixture
def as_nobody(tmp_path: Path) -> Iterator[Path]:
    """A folder open to all, in a process that is not root until the test ends: root may read anything.

    `tmp_path` is asked for only to be made before: afterwards its parent is closed to us.
    """
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            if root:
                os.seteuid(0)


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """With how many workers text is prepared, each time."""
    from paribus.text.data import first_pass
    from paribus.text.data.pool import WorkerPool

    numbers: list[int] = []

    class Counted(WorkerPool):
        def __init__(self, workers: int, **options: Any) -> None:
            numbers.append(workers)
            super().__init__(workers, **options)

    monkeypatch.setattr(first_pass, "WorkerPool", Counted)
    return numbers
