#!/bin/sh
# Runs the configuration and checkpoint tests with the next releases of Hydra and OmegaConf, on each supported Python that
# is installed. NEXT="hydra-core==… omegaconf==…" sets other releases, PYTHONS="python3.13 /opt/…/python" other interpreters.
set -u
cd "$(dirname "$0")/.." || exit 1
NEXT=${NEXT:-"hydra-core==1.4.0rc3 omegaconf==2.4.1rc1"}
PYTHONS=${PYTHONS:-"python3.11 python3.12 python3.13 python3.14"}
PARTS="tests/conf tests/callbacks/test_checkpoint_io.py tests/callbacks/test_checkpoints.py tests/callbacks/test_passport.py"
failed=0
for python in $PYTHONS; do
    # version managers put a command on the path for interpreters that are not active, too
    if ! version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); then
        echo "skipped: $python is not installed"
        continue
    fi
    venv=.venv-next/$version
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv" || exit 1
    # not constraints.txt, whose releases may not exist for a newer Python
    # shellcheck disable=SC2086 # NEXT is split into words
    if ! "$venv/bin/python" -m pip install --disable-pip-version-check -q -e '.[cluster]' pytest hypothesis $NEXT; then
        echo "skipped: a dependency has no release for $python (see above; torch is often the last to have one)"
        continue
    fi
    echo "== Python $version with $NEXT"
    # shellcheck disable=SC2086
    "$venv/bin/python" -m pytest -q $PARTS || failed=1
done
exit $failed
