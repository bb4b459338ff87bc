#!/usr/bin/env bash
# All tests, in three runs side by side: those that wait for processes of a platform, for Ray and for
# a browser; those of the gateway in one process; and all others. The first has the right of way: the
# other two are politer, so that they take only the CPU that it leaves, and their output comes when
# they are done. Of the first, those with a platform of their own come last, when the one that all
# others share is gone.
set -uo pipefail
cd "$(dirname "$0")/.."

readonly OWN=(tests/integration/test_up.py tests/integration/test_elastic_nodes.py
    tests/load/test_spike.py)
readonly GATEWAY=(tests/gateway)
readonly INSIDE=(tests/contract tests/load tests/rules tests/simulation
    tests/integration/test_amqp.py tests/integration/test_ledger.py
    tests/integration/test_reads.py tests/integration/test_servers.py)

main() {
    local failed=() outputs
    outputs=$(mktemp -d)
    nice -n 10 .venv/bin/pytest "${GATEWAY[@]}" "$@" >"$outputs/gateway" 2>&1 &
    readonly gateway=$!
    nice -n 10 .venv/bin/pytest "${INSIDE[@]}" "${OWN[@]/#/--ignore=}" "$@" >"$outputs/inside" 2>&1 &
    readonly inside=$!
    trap 'kill "$gateway" "$inside" 2>/dev/null; wait; rm -rf "$outputs"; exit 130' INT TERM
    echo "==> pytest, all but ${GATEWAY[*]} ${INSIDE[*]} (whose output follows below)"
    .venv/bin/pytest "${GATEWAY[@]/#/--ignore=}" "${INSIDE[@]/#/--ignore=}" "${OWN[@]/#/--ignore=}" \
        "$@" || failed+=("all others")
    echo "==> pytest ${OWN[*]}"
    .venv/bin/pytest "${OWN[@]}" "$@" || failed+=("${OWN[*]}")
    wait "$gateway" || failed+=("${GATEWAY[*]}")
    echo "==> pytest ${GATEWAY[*]}"
    cat "$outputs/gateway"
    wait "$inside" || failed+=("${INSIDE[*]}")
    echo "==> pytest ${INSIDE[*]}"
    cat "$outputs/inside"
    rm -rf "$outputs"
    if ((${#failed[@]})); then
        printf '==> pytest failed: %s\n' "${failed[@]}" >&2
        exit 1
    fi
}

main "$@"
