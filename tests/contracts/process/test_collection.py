import gc
import subprocess
import sys

import pytest

from contracts.process.collection import uncollected


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_as_it_was_before(enabled: bool) -> None:
    before = gc.isenabled()
    try:
        gc.enable() if enabled else gc.disable()
        with uncollected():
            assert not gc.isenabled()
        assert gc.isenabled() == enabled
    finally:
        gc.enable() if before else gc.disable()


def test_nothing_is_searched_at_the_end_of_a_refused_command() -> None:
    code = (
        "import atexit, gc; atexit.register(lambda: print('frozen', gc.get_freeze_count() > 1000)); "
        "import lightning_main; lightning_main.main(['task=fitt']); "
        "print('running', gc.get_freeze_count(), gc.isenabled())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["running 0 True", "frozen True"]
    assert "task=fitt does not exist" in done.stderr
