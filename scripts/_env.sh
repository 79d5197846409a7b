# Sourced by the other scripts: a virtual environment in .venv, holding exactly what the requirements files pin.
# Usage: requirements="FILE ..."; . "$root/scripts/_env.sh"   Installs again only when an input has changed.
set -eu
python=
for candidate in python3.11 python3.12 python3.13 python3.14 python3; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "signoff: Python 3.11 or newer is needed, as python3.11 or python3 on PATH." >&2
    exit 2
fi
stamp=$root/.venv/signoff-$(echo "$requirements" | tr ' /' '__')
wanted=$(cd "$root" && { "$python" -V; pwd; cat pyproject.toml scripts/_env.sh $requirements; } | cksum)
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
    echo "signoff: installing into .venv (about a minute, once) ..." >&2
    if [ "$("$root/.venv/bin/python" -V 2>&1)" != "$("$python" -V)" ] && ! "$python" -m venv --clear "$root/.venv" >&2; then
        echo "signoff: Python's venv module is needed: on Debian, apt-get install python3-venv." >&2
        exit 2
    fi
    for file in $requirements; do  # also as constraints: pip would take a newer release for a package wanted with extras
        "$root/.venv/bin/python" -m pip install -qq --disable-pip-version-check --require-hashes \
            -r "$root/$file" -c "$root/$file" >&2
    done
    "$root/.venv/bin/python" -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e "$root" >&2
    echo "$wanted" > "$stamp"
fi
