#!/usr/bin/env bash
# Sees to it that the browser tests have a Chromium: Debian's, since Playwright's own must be
# downloaded apart. Without one they are skipped, but never in CI.
set -uo pipefail

for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null; then
        exit 0
    fi
done

if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    echo "==> apt-get install chromium (for the browser tests)"
    export DEBIAN_FRONTEND=noninteractive
    # Another apt may be at work: wait for it rather than fail.
    if { apt-get update -qq && apt-get install -y -qq -o DPkg::Lock::Timeout=120 chromium; } >/dev/null 2>&1; then
        exit 0
    fi
fi

if [[ ${CI:-} == true ]]; then
    echo "No Chromium, and it could not be installed: CI runs the browser tests or fails." >&2
    exit 1
fi
echo "==> no Chromium: the browser tests are skipped (Debian and Ubuntu: apt-get install chromium)"
