#!/usr/bin/env bash
# Sees to it that the tests have what comes from Debian: a Chromium (Playwright's own must be
# downloaded apart) and a RabbitMQ. What is missing is installed where that can be done; without it
# its tests are skipped. CI never goes without a browser.
set -uo pipefail

main() {
    has_chromium || install chromium
    has_rabbitmq || install rabbitmq-server
    has_rabbitmq || missing "RabbitMQ: the test of the feed's line is" rabbitmq-server
    if ! has_chromium; then
        missing "Chromium: the browser tests are" chromium
        if [[ ${CI:-} == true ]]; then
            echo "CI runs the browser tests or fails." >&2
            exit 1
        fi
    fi
}

has_chromium() {
    local name
    for name in chromium chromium-browser google-chrome; do
        command -v "$name" >/dev/null && return
    done
    return 1
}

has_rabbitmq() {
    [[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]]
}

install() {
    [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null || return
    echo "==> apt-get install $1 (for the tests)"
    export DEBIAN_FRONTEND=noninteractive
    # Servers are not started (the run level of maintenance). Another apt may be at work: wait.
    { apt-get update -qq && RUNLEVEL=1 apt-get install -y -qq \
        -o DPkg::Lock::Timeout=120 "$1"; } >/dev/null 2>&1
}

missing() {
    echo "==> no $1 skipped (Debian and Ubuntu: apt-get install $2)"
}

main
