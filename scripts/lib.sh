# Shared by the scripts of this folder; sourced, not run. bash only.
#
# It finds the checkout and the program, installs what a build needs on a fresh Debian machine, and knows how a node that
# scripts/cluster keeps in a folder is asked for its state.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# ---- What a build needs ----------------------------------------------------------------------------------------------

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else return 1; fi
}

# install_packages PACKAGE...: from Debian, quietly.
install_packages() {
  local log
  log=$(mktemp)
  echo "installing $*" >&2
  if ! { as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } >"$log" 2>&1; then
    tail -20 "$log" >&2
    rm -f "$log"
    die "cannot install $*; install them by hand (as root: apt-get install $*) and try again"
  fi
  rm -f "$log"
}

have_libclang() {
  local found
  found=$(compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' || compgen -G '/usr/lib/*/libclang*.so*' || true)
  [ -n "${LIBCLANG_PATH:-}" ] || [ -n "$found" ]
}

# What compiling RocksDB and librdkafka takes, where it is missing. On a system without apt-get the compiler will say what it lacks.
ensure_build_tools() {
  ensure_cargo
  command -v apt-get >/dev/null || return 0
  local missing=()
  command -v cc >/dev/null || missing+=(gcc)
  command -v c++ >/dev/null || missing+=(g++)
  command -v make >/dev/null || missing+=(make)
  command -v cmake >/dev/null || missing+=(cmake)
  command -v clang >/dev/null || missing+=(clang)
  command -v pkg-config >/dev/null || missing+=(pkg-config)
  have_libclang || missing+=(libclang-dev)
  [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
}

ensure_cargo() {
  command -v cargo >/dev/null && return
  local bin=${CARGO_HOME:-$HOME/.cargo}/bin
  [ -x "$bin/cargo" ] || die "cargo is missing; install Rust with rustup and try again"
  PATH=$bin:$PATH
}

# ---- The programs ----------------------------------------------------------------------------------------------------

# target_dir: cargo's own, so that CARGO_TARGET_DIR and cargo's configuration count.
target_dir() {
  if [ -n "${CARGO_TARGET_DIR:-}" ]; then
    (cd "$root" && mkdir -p "$CARGO_TARGET_DIR" && cd "$CARGO_TARGET_DIR" && pwd)
  else
    (cd "$root" && cargo metadata --format-version 1 --no-deps --quiet) | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
  fi
}

# build PACKAGE...: the release build, which is the only one. cargo decides whether there is something to do.
build() {
  local packages=() package
  for package; do packages+=(-p "$package"); done
  ensure_build_tools
  (cd "$root" && cargo build --release --quiet "${packages[@]}") >&2 || die "the build failed"
}

# find_caudal: sets $caudal to the program, built when needed. CAUDAL_BIN names one that is taken as it is.
find_caudal() {
  if [ -n "${CAUDAL_BIN:-}" ]; then
    caudal=$CAUDAL_BIN
  else
    build caudal-server
    caudal=$(target_dir)/release/caudal
  fi
  [ -x "$caudal" ] || die "$caudal cannot be run"
}

# ---- Waiting and asking ----------------------------------------------------------------------------------------------

# now_ms: milliseconds, for measuring.
now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

# wait_until SECONDS COMMAND...: asks every 20 ms until the command succeeds; fails when the time is over.
wait_until() {
  local deadline=$(($(now_ms) + $1 * 1000))
  shift
  until "$@"; do
    [ "$(now_ms)" -lt "$deadline" ] || return 1
    sleep 0.02
  done
}

# http_get HOST:PORT PATH: prints the body; succeeds on 200 only. Without curl, which a fresh machine may not have.
http_get() {
  local host=${1%:*} port=${1##*:} line code
  {
    exec {fd}<>"/dev/tcp/$host/$port"
  } 2>/dev/null || return 1
  printf 'GET %s HTTP/1.0\r\nHost: %s\r\n\r\n' "$2" "$1" >&"$fd"
  if IFS=' ' read -r -t 2 _ code _ <&"$fd"; then
    while IFS= read -r -t 2 line <&"$fd" && [ -n "${line%$'\r'}" ]; do :; done
    timeout 2 cat <&"$fd" 2>/dev/null || true
  fi
  exec {fd}<&-
  [ "${code:-}" = 200 ]
}

# ---- Nodes that scripts/cluster keeps --------------------------------------------------------------------------------

# config_value FILE KEY: what a node's file says.
config_value() { sed -n "s/^\"\{0,1\}$2\"\{0,1\} = \"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" "$1" | tail -1; }

# node_pid NODE_DIR: the process id, if that process runs and is this node's (and not a later one with the same number).
node_pid() {
  local pid
  pid=$(cat "$1/pid" 2>/dev/null) && [ -n "$pid" ] || return 1
  if [ -d /proc/self ]; then
    tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF "$1/caudal.toml" || return 1
  else
    kill -0 "$pid" 2>/dev/null || return 1
  fi
  echo "$pid"
}

node_runs() { node_pid "$1" >/dev/null; }

node_is_gone() { ! node_runs "$1"; }

node_is_ready() { http_get "$(config_value "$1/caudal.toml" admin.listener)" /readyz >/dev/null; }
