# shellcheck shell=bash disable=SC2154
# librdkafka's own tests, from the sources inside the npm package @confluentinc/kafka-javascript; sourced by scripts/suites.
#
# Test N is run alone, twice where it consumes in groups: with the classic protocol, and as consumer-protocol/N with that of KIP-848. A test ends at its first
# failure; those that have many parts are run part by part: N/PART.
# shellcheck source=tests/compat/kafka.sh
source "$suites_dir/kafka.sh"
# shellcheck source=tests/compat/librdkafka/build.sh
source "$suites_dir/librdkafka/build.sh"
limit=${SUITES_LIMIT:-400}

setup() {
  need_librdkafka
  need_kafka
  [ -x "$librdkafka/tests/test-runner" ] || make -C "$librdkafka/tests" -j"$(nproc)" test-runner >"$place/librdkafka-tests.log" 2>&1 ||
    die "librdkafka's tests do not build; see $place/librdkafka-tests.log"
}

# broker_tests SCENARIO: the names of the tests that need a broker (and no mock of one), as its table of tests has them.
broker_tests() {
  awk '/^struct test tests\[\]/ { on = 1 } /^};/ { on = 0 } on' "$librdkafka/tests/test.c" | tr -d '\n' | sed 's/_TEST(/\n/g' |
    grep '^[0-9]' | grep -v 'TEST_F_LOCAL\|TEST_F_MANUAL' | {
    if [ "$1" = noautocreate ]; then grep noautocreate; else grep -v noautocreate; fi
  } | sed 's/,.*//' | grep -v '_mock$'
}

# with_parts: the names that it reads, but those of a test's parts instead of the name of one of the large ones.
with_parts() {
  local name
  while read -r name; do
    case $name in
    0081_admin) parts_of "$name" 'static void do_test_apis(' ;;
    0103_transactions | 0113_cooperative_rebalance) parts_of "$name" "int main_$name(" ;;
    *) echo "$name" ;;
    esac
  done
}

# parts_of NAME BEGINNING: the parts that a test's function calls, given how that function begins.
parts_of() {
  sed -n "/^$2/,/^}/p" "$librdkafka/tests/${1%%_*}"-*.c* | grep -oE '^ +(do_test|[a-z])_[A-Za-z0-9_]+\(' | tr -d ' (' | sed 's/^do_test_//' | sort -u | sed "s,^,$1/,"
}

# source_has PATTERN NAME: whether the source of a test has it.
source_has() { grep -qs "$1" "$librdkafka/tests/${2%%_*}"-*.c*; }

# Whether a test consumes in a group, so that the protocol matters.
in_groups() { source_has 'test_create_consumer\|KafkaConsumer::create\|create_consumer\|rd_kafka_subscribe' "$1"; }

run() {
  run_scenario default num.partitions=4
  run_scenario noautocreate num.partitions=4 auto.create.topics.enable=false
}

run_scenario() {
  local scenario=$1 name chosen=()
  shift
  for name in $(broker_tests "$scenario" | with_parts); do
    ! wanted "$name" || chosen+=("classic $name")
    ! in_groups "$name" || ! wanted "consumer-protocol/$name" || chosen+=("consumer consumer-protocol/$name")
  done
  [ ${#chosen[@]} -gt 0 ] || return 0
  # Another cluster has one scenario only, unless it can be told to change it.
  start_cluster "$@"
  printf 'bootstrap.servers=%s\ntest.timeout.multiplier=%s\n' "$bootstrap" "${SUITES_PATIENCE:-2}" >"$work/test.conf"
  for name in "${chosen[@]}"; do
    # shellcheck disable=SC2086
    run_test "$scenario" $name
  done
}

# run_test SCENARIO PROTOCOL NAME: one test in a process of its own, which is ended when it takes too long.
run_test() {
  local test=${3#consumer-protocol/} log part='' verdict began=$SECONDS
  if [[ $test == */* ]]; then part=${test#*/}: test=${test%%/*}; fi
  # Those that have the same number have run together.
  log=$work/${test%%_*}-$2-$1${part:+-${3##*/}}.log
  [ -e "$log" ] || { run_number "$1" "$2" "$test" "$part" >"$log" 2>&1 </dev/null || true; } 2>/dev/null
  verdict=$(sed -n "s/.*= Test $test \(PASSED\|FAILED\|SKIPPED\) =.*/\1/p" "$log" | tail -1)
  # A part that was not run, since it is not for this protocol, tells nothing; and so does a test all of whose parts were left out.
  if [ "$verdict" = PASSED ] && { [ -n "$part" ] || grep -q ': SKIP: ' "$log"; } && ! grep -q ': PASS (' "$log"; then verdict=SKIPPED; fi
  ! grep -q "\[$test .*SKIPPING TEST" "$log" || verdict=SKIPPED
  case $verdict in
  PASSED) result pass "$3" ;;
  SKIPPED) result skip "$3" ;;
  *) result fail "$3" ;;
  esac
  echo "$((SECONDS - began)) ${verdict:-NONE} $3" >>"$work/seconds"
}

# run_number SCENARIO PROTOCOL TEST PART: all tests that have the test's number, or one part of it. The test program selects by numbers only.
run_number() (
  local quick=-Q
  # -Q makes tests shorter, but also leaves out what is not marked quick, which may be all of a test. Without it, 0081 does everything twice.
  [[ $3 == 0081_* ]] || ! source_has 'SUB_TEST(\|due to quick mode' "$3" || quick=
  cd "$librdkafka/tests"
  # shellcheck disable=SC2086
  LD_LIBRARY_PATH=../src:../src-cpp KAFKA_PATH=$kafka_home BROKERS=$bootstrap RDKAFKA_TEST_CONF=$work/test.conf TEST_KAFKA_VERSION=4.3.1 \
    TEST_SEED=$((SRANDOM & 0x7fffffff)) TEST_CONSUMER_GROUP_PROTOCOL=$2 SUBTESTS=$4 TESTS=${3%%_*} timeout -k 5 "$limit" ./test-runner -L $quick -p1 -s "$1"
)
