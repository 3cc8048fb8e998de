#!/usr/bin/env bash
# run_tests.sh VENV STAGE...: runs the stages in turn, prints the minutes of each, stops at the first failure.
set -uo pipefail
python=$1/bin/python
shift
export OMP_NUM_THREADS=1   # two pytest workers on two cores

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
    "$python" -m pytest "${folders[@]}" $shapes -n 2 -q
}

# without the hook: wrong input must reach our own messages
bad_input() { has_tests tests/bad_input || { none; return; }; "$python" -m pytest tests/bad_input -n 2 -q; }

# every output of every notebook is compared, after the sanitising
notebooks() {
    has_tests tests/notebooks && { "$python" -m pytest tests/notebooks -q || return; }
    has_tests notebooks || { none; return; }
    "$python" -m pytest --nbval --nbval-sanitize-with tests/notebooks/sanitize.cfg notebooks -n 2 --dist loadfile -q
}

browser() { has_tests tests/browser || { none; return; }; "$python" -m pytest tests/browser -n 2 --dist loadgroup -q; }

none() { echo "no test files in this stage yet"; }

for stage in "$@"; do
    echo "== $stage"
    start=$SECONDS
    "$stage"
    code=$?
    took=$((SECONDS - start))
    echo "== $stage: $([ $code -eq 0 ] && echo ok || echo "FAILED (exit $code)"), $((took / 60)) min $((took % 60)) s"
    [ $code -eq 0 ] || exit "$code"
done
