#!/usr/bin/env bash
# make_venv.sh VENV [PYTHON [REQUIREMENT...]]: creates VENV and installs the pinned set and this package, editable;
# with REQUIREMENTs, those instead. Quiet: pip's output goes to VENV/install.log, whose end is shown on a failure.
set -euo pipefail
venv=$1 python=${2:-}
shift; [ $# -eq 0 ] || shift

usable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

if [ -n "$python" ]; then
    usable "$python" || { echo "PYTHON=$python is not a Python of version 3.11 or newer." >&2; exit 1; }
else
    for candidate in python3.11 python3.12 python3.13 python3; do
        if usable "$candidate"; then python=$candidate; break; fi
    done
    if [ -z "$python" ]; then
        echo "No Python 3.11 or newer found (tried python3.11, python3.12, python3.13, python3)." >&2
        echo "Install one (Debian, Ubuntu: sudo apt-get install python3 python3-venv) or name it: make venv PYTHON=/path/to/python" >&2
        exit 1
    fi
fi

# an environment whose interpreter has gone (moved folder, upgraded system) is made anew
if ! usable "$venv/bin/python"; then
    echo "Creating $venv with $("$python" --version)"
    rm -rf "$venv"
    mkdir -p "$(dirname "$venv")"
    "$python" -m venv "$venv" || {
        echo "$python cannot create an environment; on Debian or Ubuntu: sudo apt-get install python3-venv" >&2
        rm -rf "$venv"; exit 1
    }
fi

log=$venv/install.log
: > "$log"
failed() {
    echo "$1 failed; the end of $log:" >&2
    tail -n 20 "$log" >&2
    exit 1
}
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --no-input "$@" >> "$log" 2>&1 || failed pip; }

# uv takes a fifth of pip's time, but does not read pip's settings: further places of packages are handed on, and who
# set another index in place of the usual one stays with pip.
install_lock() {
    local settings
    settings=$("$venv/bin/python" -m pip config list)
    if grep -qE '\.(index-url|no-index)=' <<< "$settings"; then
        pip install --no-compile -r requirements.lock
        return
    fi
    places() { sed -n "s/.*\.$1='\(.*\)'\$/\1/p" <<< "$settings" | sed 's/\\n/ /g' | tr -s ' ' '\n' | sort -u | paste -sd "$2" -; }
    pip install --no-compile "$(grep '^uv==' requirements.lock)"
    UV_FIND_LINKS=$(places find-links ,) UV_INDEX=$(places extra-index-url ' ') UV_INDEX_STRATEGY=unsafe-best-match \
        "$venv/bin/uv" pip install --system-certs --no-progress --python "$venv/bin/python" -r requirements.lock \
        >> "$log" 2>&1 || failed uv
}

start=$SECONDS
if [ $# -gt 0 ]; then
    for requirement in "$@"; do pip install "$requirement"; done
else
    echo "Installing the packages of requirements.lock (a few minutes the first time)"
    install_lock
    # setuptools is pinned in the lock, so nothing is downloaded to build our own package
    pip install --no-deps --no-build-isolation -e .
fi
touch "$venv/.installed"
echo "$venv is ready ($((SECONDS - start)) s)"
