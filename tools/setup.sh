#!/usr/bin/env bash
# Makes .venv: a Python 3.10 that runs, every pinned package, and gim_tf itself.
#
#   tools/setup.sh              a no-op when .venv is up to date
#   PYTHON=/a/python tools/...  use this interpreter
#
# Candidates are judged by running them: a pyenv shim is on PATH and fails.

set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."

readonly VERSION=3.10
readonly STAMP=.venv/.gim-setup

main() {
  local begin=$SECONDS python
  if command -v flock >/dev/null; then
    exec 9<. && flock 9 # `make run` and `make test` may start together
  fi
  is_done && return
  trap 'failed' EXIT

  if ! { [[ -f $STAMP ]] && venv_works; }; then
    rm -rf .venv # without a stamp it may hold half a package
    python=$(find_python)
    say "Python $("$python" -c 'import platform
print(platform.python_version())') at $python"
    make_venv "$python"
  fi
  rm -f "$STAMP"
  say "installing $(grep -c == requirements.txt) packages (3.3 GB) into .venv"
  install_packages
  check_packages
  fingerprint >"$STAMP"

  trap - EXIT
  say "ready after $((SECONDS - begin)) s"
}

say() { echo "setup: $*" >&2; }

failed() {
  say "stopped before it was complete; the reason is above." \
    "Then run the same command again."
}

# The stamp is the last thing written, so an interrupted install has none.
is_done() {
  [[ -f $STAMP && $(<"$STAMP") == "$(fingerprint)" ]] && venv_works
}

fingerprint() { cat requirements.txt pyproject.toml | sha256sum | cut -d' ' -f1; }

# A moved environment has stale paths in its scripts: it is made anew.
venv_works() {
  is_wanted .venv/bin/python &&
    .venv/bin/python -c 'import pip' 2>/dev/null &&
    grep -qF "$PWD/.venv" .venv/bin/activate
}

is_wanted() {
  "$1" -c "import sys, venv
sys.exit('%d.%d' % sys.version_info[:2] != '$VERSION')" >/dev/null 2>&1
}

find_python() {
  local candidate
  if [[ -n ${PYTHON:-} ]]; then
    is_wanted "$PYTHON" && echo "$PYTHON" && return
    say "PYTHON=$PYTHON is no working Python $VERSION"
    return 1
  fi
  while read -r candidate; do
    is_wanted "$candidate" && echo "$candidate" && return
  done < <(
    type -aP "python$VERSION" python3 python || true
    ls -d "${PYENV_ROOT:-$HOME/.pyenv}/versions/$VERSION".*/bin/"python$VERSION" \
      2>/dev/null || true
  )
  say "no working Python $VERSION found; getting one with uv"
  uv_python && return
  say "no Python $VERSION: install it (pyenv install $VERSION, uv python" \
    "install $VERSION, or a package of your system), or name one: make" \
    "setup PYTHON=/path/to/python$VERSION"
  return 1
}

uv_python() {
  local uv
  uv=$(find_uv) || return
  "$uv" python install "$VERSION" >&2 || return
  UV_PYTHON_PREFERENCE=only-managed "$uv" python find "$VERSION"
}

# From PATH, else from the package index by way of any Python 3.
find_uv() {
  local candidate
  type -P uv && return
  [[ -x .uv/bin/uv ]] && echo .uv/bin/uv && return
  while read -r candidate; do
    rm -rf .uv
    if "$candidate" -m venv .uv >/dev/null 2>&1 &&
      .uv/bin/python -m pip install -q -q "$(pin uv)" >&2; then
      echo .uv/bin/uv && return
    fi
  done < <(type -aP python3 python || true)
  say "uv is not on PATH and could not be installed (its Python needs venv)"
  return 1
}

pin() { grep -oE "^$1==[^ ]+" requirements.txt; }

# Debian's Python has no ensurepip without its venv package; uv needs none.
make_venv() {
  local uv
  "$1" -m venv .venv >/dev/null 2>&1 && return
  rm -rf .venv
  say "$1 cannot make an environment with pip by itself; trying uv"
  uv=$(find_uv) && "$uv" venv --quiet --seed --python "$1" .venv
}

# The file is a complete lock, so no resolver (pip: 130 s instead of 190 s);
# uv unpacks in parallel (20 s). pip is the one that reads the configuration
# of a private index, and so it is asked where uv fails.
install_packages() {
  if ! command -v c++ >/dev/null && ! command -v g++ >/dev/null; then
    say "a C++ compiler is needed for pyfarmhash (Debian: apt-get install g++)"
    return 1
  fi
  local pip=(.venv/bin/python -m pip install -q -q --no-deps)
  "${pip[@]}" "$(pin uv)"
  .venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps \
    -r requirements.txt || {
    say "uv failed; using pip (about 2 minutes)"
    "${pip[@]}" -r requirements.txt
  }
  "${pip[@]}" --no-build-isolation -e .
}

# What --no-deps cannot see: a pin that another pin does not allow.
check_packages() {
  local report
  report=$(.venv/bin/python -m pip check) && return
  say "$report"
  return 1
}

main "$@"
