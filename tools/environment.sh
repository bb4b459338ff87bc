#!/usr/bin/env bash
# Makes .venv hold what requirements/ says, and does nothing if it already does.
#
#   tools/environment.sh runtime   what `make run` needs
#   tools/environment.sh dev       that, and the checks, the tests and the load test
#   tools/environment.sh uv        only uv, which writes requirements/ (its version there)
#
# Whatever goes wrong ends in one line that says what to do, and status 1.
set -uo pipefail
cd "$(dirname "$0")/.."

readonly OLDEST=11 NEWEST=14 # Python 3.x; there are no wheels of Ray and Postgres past the newest
readonly LOG=.venv/install.log

main() {
    local kind=$1 wanted
    wanted=$(fingerprint "$kind")
    if [[ $(cat ".venv/installed-$kind" 2>/dev/null) == "$wanted" ]] && .venv/bin/python -c '' 2>/dev/null; then
        return
    fi
    trap 'echo; fail "Stopped. The next make goes on from here."' INT TERM
    make_venv
    # What an interrupted pip leaves behind lies here, not in /tmp.
    export TMPDIR=$PWD/.venv/tmp
    rm -rf "$TMPDIR" && mkdir "$TMPDIR"
    case $kind in
        uv) install <(locked_uv) "uv" ;;
        runtime) install requirements/lock.txt "Grandstand" && install_project ;;
        dev) install requirements/dev.txt "Grandstand and its tests" && install_project
             # What dev holds is all that the others hold, in the same versions.
             fingerprint runtime > .venv/installed-runtime
             fingerprint uv > .venv/installed-uv ;;
    esac
    rm -rf "$TMPDIR"
    echo "$wanted" > ".venv/installed-$kind"
}

# By content, since a checkout touches times; with the path, since a venv can't be moved.
fingerprint() {
    local files=(pyproject.toml requirements/lock.txt)
    [[ $1 == runtime ]] || files+=(requirements/dev.txt)
    { pwd; echo "${PYTHON:-}"; cat "${files[@]}"; } | sha256sum
}

make_venv() {
    local python
    if [[ -z ${PYTHON:-} ]] && .venv/bin/python -c "$(suitable)" 2>/dev/null && .venv/bin/python -m pip --version >/dev/null 2>&1; then
        rm -f .venv/installed-*
        return
    fi
    find_python
    rm -rf .venv
    echo "Making .venv with $python ($("$python" -c 'import platform; print(platform.python_version())'))"
    local said
    said=$("$python" -m venv .venv 2>&1) || fail "$python cannot make .venv here: $(tail -n 1 <<<"$said")"
}

suitable() {
    echo "import sys; sys.exit(not (3, $OLDEST) <= sys.version_info[:2] <= (3, $NEWEST))"
}

# Sets `python` to the first that will do; else says what is wrong with the best there is.
find_python() {
    local candidate lacking="" candidates=(python3 python3.12 python3.13 python3.11 python3.14)
    [[ -z ${PYTHON:-} ]] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        "$candidate" -c "$(suitable)" 2>/dev/null || continue
        if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            python=$candidate
            return
        fi
        lacking=${lacking:-$candidate}
    done
    if [[ -n $lacking ]]; then
        local version
        version=$("$lacking" -c 'import sys; print("python3.%d" % sys.version_info[1])')
        fail "$lacking has no venv module: install it (Debian and Ubuntu: apt-get install $version-venv) and run make again."
    elif [[ -n ${PYTHON:-} ]]; then
        fail "PYTHON=$PYTHON is not a Python 3.$OLDEST to 3.$NEWEST ($(version_of "$PYTHON"))."
    fi
    fail "No Python 3.$OLDEST to 3.$NEWEST here (python3: $(version_of python3)). Install one, or name it: make run PYTHON=/path/to/python3.12"
}

version_of() {
    command -v "$1" >/dev/null && "$1" --version 2>&1 | head -n 1 || echo "not found"
}

# install FILE WHAT: everything in FILE, each package with its hash or not at all.
install() {
    local total
    cat "$1" > .venv/wanted.txt
    total=$(grep -c '^[a-z0-9].*==' .venv/wanted.txt)
    echo "Installing $2 into .venv, once (packages: $total)"
    .venv/bin/python -m pip install --disable-pip-version-check --no-input --progress-bar off \
        --require-hashes -r .venv/wanted.txt 2>&1 | tee "$LOG" | show_progress "$total" || explain_failure
}

# Editable, so that what is edited runs; its build tool came with the lock, so nothing is fetched.
install_project() {
    # `compat` puts this folder on the path, so a package added later is found as well.
    .venv/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation \
        --config-settings editable_mode=compat --editable . > "$LOG" 2>&1 || explain_failure
}

# One line that counts, on a terminal; elsewhere only the end of each step.
show_progress() {
    local line count=0
    while IFS= read -r line; do
        case $line in
            *"(from -r "*) # one such line for each package in the file
                count=$((count + 1))
                [[ ! -t 1 ]] || printf '\r  %d of %d fetched' "$count" "$1" ;;
            "Installing collected packages"*)
                [[ ! -t 1 ]] || printf '\r\033[K  unpacking' ;;
        esac
    done
    [[ ! -t 1 ]] || printf '\r\033[K'
}

explain_failure() {
    if grep -q 'No space left on device' "$LOG"; then
        fail "The disk is full: free about 2 GB here and run make again."
    elif grep -qE 'Retrying \(|Temporary failure in name resolution|Network is unreachable|ConnectionError|ReadTimeout' "$LOG"; then
        fail "The package index cannot be reached: check the network (or pip's proxy and index settings) and run make again."
    elif grep -q 'DO NOT MATCH THE HASHES' "$LOG"; then
        fail "A package is not the one that was locked, so nothing was installed: see $LOG"
    fi
    fail "The install failed: $(grep -m 1 -i error "$LOG" || tail -n 1 "$LOG") (see $LOG)"
}

# uv alone, as requirements/dev.txt has it.
locked_uv() {
    sed -n '/^uv==/,/^[^ ]/{/^uv==/p;/^    --hash/p}' requirements/dev.txt
}

fail() {
    echo "$*" >&2
    exit 1
}

main "$@"
