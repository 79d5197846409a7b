# Sourced by the other scripts: a virtual environment in .venv, holding exactly what the requirements files pin.
# Usage: requirements="FILE ..."; . "$(dirname "$0")/_env.sh"   Installs again only when an input has changed.
set -eu
cd "$(dirname "$0")/.."
python=$(command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3 || true)
if [ -z "$python" ] || ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "signoff: Python 3.11 or newer is needed, as python3.11 or python3 on PATH." >&2
    exit 2
fi
inputs="pyproject.toml scripts/_env.sh $requirements"
wanted=$({ "$python" -V; pwd; cat $inputs; } | cksum)
stamp=.venv/signoff-$(echo "$requirements" | tr ' /' '__')
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
    echo "signoff: installing into .venv (about a minute, once) ..." >&2
    if [ "$(.venv/bin/python -V 2>&1)" != "$("$python" -V)" ] && ! "$python" -m venv --clear .venv >&2; then
        echo "signoff: Python's venv module is needed: on Debian, apt-get install python3-venv." >&2
        exit 2
    fi
    for file in $requirements; do
        .venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r "$file" >&2
    done
    .venv/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e . >&2
    echo "$wanted" > "$stamp"
fi
