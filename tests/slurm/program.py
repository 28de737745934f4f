"""What SLURM starts: the paced command, by itself, or forked by the nursery at ``$NURSERY``."""

import os
import sys


def main() -> int:
    if place := os.environ.get("NURSERY"):
        from nursery import handed_over

        return handed_over(place)
    import paced

    import lightning_main

    paced.prepare()
    return lightning_main.main()


if __name__ == "__main__":
    sys.exit(main())
