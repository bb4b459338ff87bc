#!/usr/bin/env bash
# All tests, in two runs side by side: those in one process, and those that wait for processes of a
# platform, for Ray and for a browser. The first is the politer one, so that it takes only the CPU
# that the second leaves; its output comes when the second is done.
set -uo pipefail
cd "$(dirname "$0")/.."

readonly INSIDE=(tests/contract tests/gateway tests/rules tests/simulation)

main() {
    local output inside=0 outside=0 ignored=()
    output=$(mktemp)
    for folder in "${INSIDE[@]}"; do
        ignored+=("--ignore=$folder")
    done
    echo "==> pytest ${INSIDE[*]} (its output follows below)"
    # Whoever gets little CPU needs long.
    nice -n 10 .venv/bin/pytest -o timeout=300 "${INSIDE[@]}" "$@" >"$output" 2>&1 &
    readonly beside=$!
    trap 'kill "$beside" 2>/dev/null; wait "$beside"; rm -f "$output"; exit 130' INT TERM
    echo "==> pytest, everything else"
    .venv/bin/pytest "${ignored[@]}" "$@" || outside=$?
    wait "$beside" || inside=$?
    echo "==> pytest ${INSIDE[*]}"
    cat "$output"
    rm -f "$output"
    if ((inside || outside)); then
        echo "==> pytest failed: status $inside for ${INSIDE[*]}, $outside for everything else" >&2
        exit 1
    fi
}

main "$@"
