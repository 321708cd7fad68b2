# shellcheck shell=bash disable=SC2154
# franz-go's integration tests of pkg/kgo, from its Go module; sourced by scripts/suites.
version=v1.22.3
# The suite's own default is 500,000 records through 31 partitions, for larger machines.
records=${SUITES_RECORDS:-50000}
partitions=${SUITES_PARTITIONS:-7}
binary=$place/franz-go/kgo-$version.test
sources=$place/franz-go/$version

setup() {
  need_apt go golang-go
  [ ! -x "$binary" ] || return 0
  local module
  module=$(cd "$place" && go mod download -json "github.com/twmb/franz-go@$version" 2>/dev/null | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  [ -d "$module" ] || die "franz-go $version cannot be downloaded"
  rm -rf "$sources" && mkdir -p "$sources" && cp -r "$module/." "$sources" && chmod -R u+w "$sources"
  (cd "$sources" && go test -c -o "$binary.new" ./pkg/kgo) >"$place/franz-go/build.log" 2>&1 || die "franz-go's tests do not build; see $place/franz-go/build.log"
  mv "$binary.new" "$binary"
}

# The tests that talk to brokers; the others of the package are unit tests.
integration_tests() {
  awk '/^func Test/ { name = $2; sub(/\(.*/, "", name) }
    /^}/ { name = "" }
    name != "" && /adm\(\)|newTestClient|tmp[A-Z][A-Za-z]*\(|getSeedBrokers|internalTopic|testClientOpts/ { print name }' "$sources"/pkg/kgo/*_test.go | sort -u
}

run() {
  local name chosen=()
  for name in $(integration_tests); do
    # --only may name a subtest, whose test then runs whole.
    if [ -n "$only" ] && [[ ! $name =~ ${only%%/*} ]]; then continue; fi
    [ -z "$everything" ] && lists skipped "$name" || chosen+=("$name")
  done
  start_cluster group.initial.rebalance.delay.ms=0
  (
    cd "$sources/pkg/kgo"
    KGO_SEEDS=$bootstrap KGO_TEST_RF=$nodes KGO_TEST_RECORDS=$records KGO_TEST_MAX_TOPIC_PARTS=$partitions KGO_LOG_LEVEL=${SUITES_LOG:-none} \
      timeout 3000 "$binary" -test.v -test.timeout 45m -test.parallel 4 -test.run "^($(IFS='|' && echo "${chosen[*]}"))\$"
  ) >"$work/log" 2>&1 || true
  sed -n 's/^ *--- \(PASS\|FAIL\|SKIP\): \([^ ]*\) (.*/\1 \2/p' "$work/log" | while read -r verdict name; do
    result "$(tr '[:upper:]' '[:lower:]' <<<"$verdict")" "$name"
  done
  # One that hung or ended the process has no line.
  for name in "${chosen[@]}"; do
    grep -q " $name\$" "$results" || result fail "$name"
  done
}
