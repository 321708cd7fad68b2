# shellcheck shell=bash disable=SC2154
# The integration tests that the crates rdkafka and rskafka carry; sourced by scripts/suites.
#
# Both are built with the librdkafka of the suite librdkafka, linked dynamically, instead of compiling one each.
# shellcheck source=tests/compat/librdkafka/build.sh
source "$suites_dir/librdkafka/build.sh"
rdkafka=rdkafka-0.39.0
rskafka=rskafka-0.6.0
crates=$place/rust-crates
# rdkafka's tests take one broker with the id 0, some of them at localhost:9092 whatever KAFKA_HOST says.
alone=(node.id=0 cluster.nodes=0@127.0.0.2:10092 listeners=PLAINTEXT://127.0.0.1:9092 admin.listener=127.0.0.2:11092)

setup() {
  need_librdkafka
  need_apt java default-jdk-headless
  export PKG_CONFIG_PATH=$librdkafka_installed/lib/pkgconfig LD_LIBRARY_PATH=$librdkafka_installed/lib CARGO_TARGET_DIR=$crates/target
  # Debug information would be most of what is built.
  export CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_DEBUG=0
  [ "$(cat "$crates/stamp" 2>/dev/null)" != "$rdkafka $rskafka $librdkafka_package" ] || return 0
  rm -rf "$crates" && mkdir -p "$crates/fetch/src" && : >"$crates/fetch/src/lib.rs"
  (
    printf '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2024"\n[dependencies]\nrdkafka = "=%s"\nrskafka = "=%s"\n' \
      "${rdkafka##*-}" "${rskafka##*-}" >"$crates/fetch/Cargo.toml"
    cd "$crates/fetch" && cargo fetch
    for crate in "$rdkafka" "$rskafka"; do
      cp -r "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$crate" "$crates/"
      rm -f "$crates/$crate/rust-toolchain.toml"
      link_dynamically "$crates/$crate/Cargo.toml"
    done
    # The version in its lock file does not build with today's compiler.
    (cd "$crates/$rskafka" && cargo update -p rsasl --precise 2.3.1)
    for crate in "$rdkafka" "$rskafka"; do (cd "$crates/$crate" && cargo test --tests --no-run); done
  ) >"$place/rust-crates.log" 2>&1 || die "the tests of rdkafka and rskafka do not build; see $place/rust-crates.log"
  echo "$rdkafka $rskafka $librdkafka_package" >"$crates/stamp"
}

# link_dynamically FILE: in a Cargo.toml, rdkafka gets the feature dynamic-linking: its own default, and where it is a dev-dependency.
link_dynamically() {
  sed -i -e '/^default = \[/,/^\]/ s/"libz",/"libz", "dynamic-linking",/' -e '/^\[dev-dependencies.rdkafka\]/,/^$/ { s/"libz",/"dynamic-linking",/; /"zstd"/d }' "$1"
}

run() {
  if grep -q . < <(tests_of "$rdkafka"); then
    nodes=1 start_cluster "${alone[@]}" num.partitions=3
    KAFKA_HOST=$bootstrap KAFKA_VERSION=4.3 run_crate "$rdkafka"
    stop_cluster
  fi
  if grep -q . < <(tests_of "$rskafka"); then
    start_cluster auto.create.topics.enable=false
    # With the Java client on the other side, too; its jars are fetched by the tests.
    TEST_JAVA_INTEROPT=1 TEST_INTEGRATION=1 TEST_BROKER_IMPL=kafka KAFKA_CONNECT=$bootstrap run_crate "$rskafka"
  fi
}

# tests_of CRATE: the files of tests that --only leaves, without those that only help others.
tests_of() {
  local file
  for file in "$crates/$1"/tests/*.rs; do
    file=$(basename "$file" .rs)
    [[ $file != *helper* && $file != utils && $file != test_topic_partition_list ]] || continue
    if [ -n "$only" ] && ! [[ "${1%%-*}::$file" =~ ${only%::*} || $only =~ "$file" ]]; then continue; fi
    echo "$file"
  done
}

run_crate() {
  local file log verdict name
  for file in $(tests_of "$1"); do
    log=$work/${1%%-*}-$file.log
    # One after the other: several at once wait for one another on a small machine, and have time limits.
    (cd "$crates/$1" && timeout -k 5 600 cargo test --test "$file" -- --test-threads=1 --format=pretty) >"$log" 2>"$log.stderr" </dev/null || true
    sed -n 's/^test \(.*\) \.\.\. \(ok\|FAILED\|ignored\).*/\2 \1/p' "$log" | while read -r verdict name; do
      name=${1%%-*}::$file::$name
      case $verdict in ok) verdict=pass ;; FAILED) verdict=fail ;; *) verdict=skip ;; esac
      # It ran with the others of its file; that it ended well may mean nothing.
      wanted "$name" || verdict=skip
      result "$verdict" "$name"
    done
  done
}
