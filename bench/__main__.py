"""``python -m bench [subject …] [--quick | --full]``: measures subjects and writes docs/speed.md."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from bench.parts.table import markdown, record
from bench.parts.timing import EFFORT
from bench.subjects import measured_apart, subjects
from contracts.errors import nearest

DOCS = Path(__file__).resolve().parent.parent / "docs"


def main(argv: list[str]) -> int:
    """Measures the named subjects, or all; the page keeps the last rows of the others.

    Returns:
        0; 1 if a subject failed or, except in a quick run, a target was missed.
    """
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="subject", help=f"any of {', '.join(subjects())} (default: all)")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--quick", action="store_true", help="few repetitions, small inputs; does not change docs")
    amount.add_argument("--full", action="store_true", help="adds long measurements, e.g. memory on 20,000 images")
    options = parser.parse_args(argv)
    for name in options.subjects:
        if name not in subjects():
            parser.error(f"unknown subject {name!r}; {nearest(name, subjects())}")
    os.environ[EFFORT] = "quick" if options.quick else "full" if options.full else "normal"
    os.environ["TQDM_DISABLE"] = "1"  # many progress bars would hide the tables
    missed, failed = 0, []
    for name in options.subjects or subjects():
        print(f"\n{name}", flush=True)
        try:
            section = measured_apart(name)
        except subprocess.CalledProcessError:
            failed.append(name)
            continue
        print("\n".join(markdown(section.rows)), flush=True)
        missed += sum(row.met is False for row in section.rows)
        if not options.quick:
            record(DOCS, name, section)
    if missed:
        print(f"{missed} target{'s' * (missed > 1)} missed", file=sys.stderr)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed or (missed and not options.quick) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
