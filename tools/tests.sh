#!/usr/bin/env bash
# All tests, in two runs side by side: those that think, and those that wait for servers, Ray and
# a browser. The first is the politer one, so that it takes only the CPU that the second leaves;
# its output comes when the second is done.
set -uo pipefail
cd "$(dirname "$0")/.."

readonly THINKING=(tests/rules tests/contract tests/simulation)

main() {
    local output thinking=0 waiting=0 ignored=()
    output=$(mktemp)
    for folder in "${THINKING[@]}"; do
        ignored+=("--ignore=$folder")
    done
    echo "==> pytest ${THINKING[*]} (its output follows below)"
    # Whoever gets little CPU needs long.
    nice -n 19 .venv/bin/pytest -o timeout=600 "${THINKING[@]}" "$@" >"$output" 2>&1 &
    readonly beside=$!
    trap 'kill "$beside" 2>/dev/null; wait "$beside"; rm -f "$output"; exit 130' INT TERM
    echo "==> pytest, everything else"
    .venv/bin/pytest "${ignored[@]}" "$@" || waiting=$?
    wait "$beside" || thinking=$?
    echo "==> pytest ${THINKING[*]}"
    cat "$output"
    rm -f "$output"
    if ((thinking || waiting)); then
        echo "==> pytest failed: status $thinking for ${THINKING[*]}, $waiting for everything else" >&2
        exit 1
    fi
}

main "$@"
