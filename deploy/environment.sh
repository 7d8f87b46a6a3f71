# Sourced by deploy/up and deploy/test: finds a Python, makes .venv in the clone and installs into it what pyproject.toml says.

CLONE=$(cd "$(dirname "$0")/.." && pwd)
ENVIRONMENT=$CLONE/.venv

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

say() {
    echo "$*" >&2
}

is_recent() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# Sets PYTHON to a Python 3.11 or later: $PYTHON if the caller names one, else the best that is installed.
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_recent "$PYTHON" || fail "PYTHON=$PYTHON is not Python 3.11 or later"
        return
    fi
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null && is_recent "$candidate"; then
            PYTHON=$candidate
            return
        fi
    done
    found=$(python3 -V 2>&1) || found="none"
    fail "Python 3.11 or later is needed (found: $found); on Debian 12 or later: apt-get install python3 python3-venv"
}

# Installs Debian packages without a question and without starting the services they contain. Root only.
install_packages() {
    if ! command -v apt-get >/dev/null; then
        fail "needs Debian's packages $*, and there is no apt-get here; install what they contain in your system's way"
    fi
    say "installing Debian packages: $*"
    # A policy of the machine's own stays; ours is there only while we install.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    log=$(mktemp)
    DEBIAN_FRONTEND=noninteractive
    export DEBIAN_FRONTEND
    if ! { apt-get install -y --no-install-recommends "$@" ||
        { apt-get update && apt-get install -y --no-install-recommends "$@"; }; } >"$log" 2>&1; then
        tail -n 5 "$log" >&2
        fail "apt-get could not install $*; its words are in $log"
    fi
    rm -f "$log"
    if [ "$(cat "$policy" 2>/dev/null)" = "$(printf '#!/bin/sh\nexit 101')" ]; then
        rm -f "$policy"
    fi
    trap - EXIT
}

# Prints the packages that are missing for compiling the balancer's hot path; the headers are those of the environment's Python.
compiler_packages() {
    command -v cc >/dev/null || echo "gcc libc6-dev"
    python=$ENVIRONMENT/bin/python
    if [ ! -x "$python" ]; then
        find_python
        python=$PYTHON
    fi
    if ! "$python" -c 'import pathlib, sys, sysconfig
sys.exit(not (pathlib.Path(sysconfig.get_path("include")) / "Python.h").exists())'; then
        "$python" -c 'import sys; print("python%d.%d-dev" % sys.version_info[:2])'
    fi
}

make_virtual_environment() {
    if ! "$PYTHON" -c 'import ensurepip' 2>/dev/null; then
        package=$("$PYTHON" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        [ "$(id -u)" = 0 ] || fail "$PYTHON cannot make virtual environments yet; on Debian: apt-get install $package"
        install_packages "$package"
    fi
    say "making a virtual environment in $ENVIRONMENT"
    "$PYTHON" -m venv --clear "$ENVIRONMENT" || fail "cannot make a virtual environment in $ENVIRONMENT"
}

# prepare_environment EXTRAS: EXTRAS is "" or "[dev]". Does nothing that has been done before for this pyproject.toml.
prepare_environment() {
    [ -w "$CLONE" ] || [ -x "$ENVIRONMENT/bin/onelite" ] || fail "$CLONE is not writable for $(id -un); clone it to a folder of yours"
    stamp=$ENVIRONMENT/installed$1
    if [ ! -x "$ENVIRONMENT/bin/python" ] || ! is_recent "$ENVIRONMENT/bin/python"; then
        find_python
        make_virtual_environment
    fi
    if [ ! -e "$stamp" ] || ! cmp -s "$CLONE/pyproject.toml" "$stamp"; then
        say "installing the Python packages that pyproject.toml names (once; this may take a minute)"
        "$ENVIRONMENT/bin/python" -m pip install --quiet --disable-pip-version-check -e "$CLONE$1" ||
            fail "pip could not install the packages; is the network there?"
        # Where PYTHONDONTWRITEBYTECODE is set, every start would compile everything anew: half of the time it takes.
        "$ENVIRONMENT/bin/python" -m compileall -q "$CLONE/services" "$CLONE/deploy" || say "cannot write compiled modules"
        # What was installed with the extras is there without them as well.
        cp "$CLONE/pyproject.toml" "$ENVIRONMENT/installed"
        cp "$CLONE/pyproject.toml" "$stamp"
    fi
}
