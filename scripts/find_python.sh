#!/bin/sh
# Prints the Python that .venv is made with: $PYTHON if it is set, else the one that made it before, else the newest
# suitable one. Each is run, not only looked for: pyenv leaves a python3.13 on the PATH that is none.
cd "$(dirname "$0")/.." || exit 1

use_if_suitable() {
    if lacks=$("$1" -m scripts.prerequisites --python 2>/dev/null); then
        command -v "$1"
        exit
    fi
    remedy=${remedy:-$lacks}
}

if [ -n "$PYTHON" ]; then
    use_if_suitable "$PYTHON"
    echo "setup: ${remedy:-$PYTHON is not Python 3.11, 3.12 or 3.13}" >&2
    exit 1
fi
use_if_suitable "$(sed -n 's/^executable = //p' .venv/pyvenv.cfg 2>/dev/null)"
for name in python3.13 python3.12 python3.11 python3; do
    use_if_suitable "$name"
done
use_if_suitable "$(uv python find --no-project '>=3.11,<3.14' 2>/dev/null)"
echo "setup: ${remedy:-no Python 3.11, 3.12 or 3.13 here; the shortest way to one: uv python install 3.12}" >&2
exit 1
