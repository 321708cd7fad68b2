# Shared by the scripts that run nodes; sourced, not run.
#
# It builds and finds the program, waits and measures, and knows how a node that scripts/cluster keeps in a folder is asked for its
# state.

# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# ---- The program -----------------------------------------------------------------------------------------------------

# find_caudal: sets $caudal to the program, built when needed. CAUDAL_BINARY names one that is taken as it is.
find_caudal() {
  if [ -n "${CAUDAL_BINARY:-}" ]; then
    caudal=$CAUDAL_BINARY
  else
    find_cargo
    build >&2 || die "the build failed"
    caudal=$target/release/caudal
  fi
  [ -x "$caudal" ] || die "$caudal cannot be run"
}

find_cargo() {
  local bin=${CARGO_HOME:-$HOME/.cargo}/bin
  command -v cargo >/dev/null || PATH=$bin:$PATH
  command -v cargo >/dev/null || die "cargo is missing; install Rust with rustup and try again"
  # cargo is called in the checkout: a relative folder counts from there.
  [[ $target == /* ]] || target=$root/$target
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
