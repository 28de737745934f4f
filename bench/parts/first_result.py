"""``python -m bench.parts.first_result FILE WORD …``: the command line; writes the time of the first scores to FILE."""

import sys
import time
from pathlib import Path
from typing import Any

from callbacks.collector import Collector

if __name__ == "__main__":
    file = Path(sys.argv.pop(1))
    collect = Collector.on_predict_batch_end

    def collect_first(*arguments: Any) -> None:
        """Collects scores, and writes the time of the first call."""
        collect(*arguments)
        if not file.exists():
            file.write_text(str(time.time()))

    Collector.on_predict_batch_end = collect_first  # type: ignore[assignment]
    import lightning_main

    lightning_main.main()
