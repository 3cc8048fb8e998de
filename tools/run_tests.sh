#!/usr/bin/env bash
# run_tests.sh VENV STAGE...: runs the stages in turn, prints the minutes of each, stops at the first failure.
set -uo pipefail
python=$1/bin/python
shift
export OMP_NUM_THREADS=1   # two pytest workers on two cores
# Images of containers often set this, and uv installs no bytecode: every process would compile all that it imports,
# which takes three times as long as the imports.
unset PYTHONDONTWRITEBYTECODE

# Only these plugins: to load all that are installed (nbval most of all) takes as long as to load torch, in each process.
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
plugins=xdist.plugin,jaxtyping._pytest_plugin,_hypothesis_pytestplugin
pytest() { PYTEST_PLUGINS=$plugins "$python" -m pytest -q "$@"; }

# The import hook checks every annotated shape and type of ponita_edu while the tests run.
shapes="--jaxtyping-packages=ponita_edu,beartype.beartype"

# pytest's exit code 5 (nothing collected) is a failure only where there is something to collect
has_tests() { find "$@" \( -name 'test_*.py' -o -name '*.ipynb' \) -not -path '*/.ipynb_checkpoints/*' 2>/dev/null | grep -q .; }

# Python and notebooks, then the spelling of everything
lint() { "$python" -m ruff check --output-format=concise . && "$python" -m codespell_lib; }

# every folder of tests/ that is not a stage of its own
unit() {
    local folders=() folder
    for folder in tests/*/; do
        case $folder in tests/bad_input/ | tests/notebooks/ | tests/browser/ | */__pycache__/) continue ;; esac
        has_tests "$folder" && folders+=("$folder")
    done
    pytest "${folders[@]}" $shapes -n 2 --dist worksteal
}

# without the hook: wrong input must reach our own messages
bad_input() { has_tests tests/bad_input || { none; return; }; pytest tests/bad_input -n 2 --dist worksteal; }

# every output of every notebook is compared, after the sanitising
notebooks() {
    has_tests tests/notebooks && { pytest tests/notebooks || return; }
    has_tests notebooks || { none; return; }
    # the long ones, which have the higher numbers, first
    plugins+=,nbval.plugin pytest --nbval --nbval-sanitize-with tests/notebooks/sanitize.cfg -n 2 --dist loadfile \
        $(printf '%s\n' notebooks/*.ipynb | sort -r)
}

browser() { has_tests tests/browser || { none; return; }; pytest tests/browser -n 2 --dist loadgroup; }

none() { echo "no test files in this stage yet"; }

so_far=
for stage in "$@"; do
    echo "== $stage${so_far:+ (so far:${so_far%,})}"
    start=$SECONDS
    "$stage"
    code=$?
    took="$(((SECONDS - start) / 60)) min $(((SECONDS - start) % 60)) s"
    echo "== $stage: $([ $code -eq 0 ] && echo ok || echo "FAILED (exit $code)"), $took"
    [ $code -eq 0 ] || exit "$code"
    so_far+=" $stage $took,"
done
