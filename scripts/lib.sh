# Shared by the scripts: finds the checkout, and installs what is missing, quietly and only then.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/caudal
target=${CARGO_TARGET_DIR:-$root/target}

# need_apt COMMAND_OR_FILE PACKAGE...: installs Debian packages when the command (or the glob of a file) is not there.
need_apt() {
  local probe=$1; shift
  command -v "$probe" >/dev/null 2>&1 && return
  compgen -G "$probe" >/dev/null && return
  local sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
  # One at a time: apt refuses a second one instead of waiting.
  mkdir -p "$cache"
  (
    flock 9
    $sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq "$@"
  ) >/dev/null 2>&1 9>"$cache/apt.lock" || { echo "could not install $*; install it by hand and try again" >&2; return 1; }
}

# need_cargo COMMAND CRATE: installs a cargo tool when it is not there. Built outside of the checkout's target folder.
need_cargo() {
  command -v "$1" >/dev/null 2>&1 && return
  echo "installing $2 (once)" >&2
  CARGO_TARGET_DIR=$cache/tools cargo install --quiet --locked "$2"
}

# What building Caudal takes: a C and C++ compiler, and libclang for RocksDB's bindings.
need_build() {
  need_apt c++ g++
  need_apt make make
  # Not libclang-cpp.so, which other packages bring along: bindgen cannot use it.
  need_apt '/usr/lib/*/libclang-[0-9]*.so*' libclang-dev clang 2>/dev/null || need_apt '/usr/lib/llvm-*/lib/libclang.so*' libclang-dev clang
}

# Builds the programs. Always the whole workspace: another selection of crates has other features, and would compile much of it again.
build() {
  need_build
  (cd "$root" && cargo build --release --quiet --workspace --bins)
}

# need_venv FOLDER REQUIREMENTS: a Python of its own in FOLDER, with what the file names. Python has to be there.
need_venv() {
  python3 -m venv "$1" 2>/dev/null || { need_apt /nonexistent python3-venv; python3 -m venv "$1"; }
  "$1/bin/pip" install --quiet --disable-pip-version-check -r "$2"
}

# The Python of the benchmarks with what they draw with, as $bench_python.
need_bench_python() {
  need_apt python3 python3 python3-venv
  local venv=$cache/bench requirements=$root/tests/bench/requirements.txt
  bench_python=$venv/bin/python
  cmp -s "$requirements" "$venv/installed" && return
  need_venv "$venv" "$requirements"
  cp "$requirements" "$venv/installed"
}
