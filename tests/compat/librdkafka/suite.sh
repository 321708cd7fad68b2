# shellcheck shell=bash disable=SC2154
# librdkafka's own tests, from the sources inside the npm package @confluentinc/kafka-javascript; sourced by scripts/suites.
#
# Test N is run alone, twice where it consumes in groups: with the classic protocol, and as consumer-protocol/N with that of KIP-848. The large one of the
# admin APIs, which ends at its first failure, is run part by part: N/PART.
# shellcheck source=tests/compat/kafka.sh
source "$suites_dir/kafka.sh"
# shellcheck source=tests/compat/librdkafka/build.sh
source "$suites_dir/librdkafka/build.sh"
limit=${SUITES_LIMIT:-150}

setup() {
  need_librdkafka
  need_kafka
  [ -x "$librdkafka/tests/test-runner" ] || make -C "$librdkafka/tests" -j"$(nproc)" test-runner >"$place/librdkafka-tests.log" 2>&1 ||
    die "librdkafka's tests do not build; see $place/librdkafka-tests.log"
}

# broker_tests SCENARIO: the names of the tests that need a broker, as its table of tests has them.
broker_tests() {
  awk '/^struct test tests\[\]/ { on = 1 } /^};/ { on = 0 } on' "$librdkafka/tests/test.c" | tr -d '\n' | sed 's/_TEST(/\n/g' |
    grep '^[0-9]' | grep -v 'TEST_F_LOCAL\|TEST_F_MANUAL' | {
    if [ "$1" = noautocreate ]; then grep noautocreate; else grep -v noautocreate; fi
  } | sed 's/,.*//'
}

# with_parts: the names that it reads, but those of a test's parts instead of the name of one that has parts.
with_parts() {
  local name part
  while read -r name; do
    if [ "$name" != 0081_admin ]; then echo "$name" && continue; fi
    for part in $(grep -ho '^static void do_test_[A-Za-z_]*' "$librdkafka"/tests/0081-*.c | sed 's/.*do_test_//' | sort -u); do
      [ "$part" = apis ] || echo "$name/$part"
    done
  done
}

# Whether a test's source consumes in a group, so that the protocol matters.
in_groups() {
  grep -qs 'test_create_consumer\|KafkaConsumer::create\|create_consumer\|rd_kafka_subscribe' "$librdkafka/tests/${1%%_*}"-*.c*
}

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
  local test=${3#consumer-protocol/} log=$work/${3//\//-}.log part='' verdict began=$SECONDS
  if [[ $test == */* ]]; then part=do_test_${test#*/}: test=${test%%/*}; fi
  (
    cd "$librdkafka/tests"
    LD_LIBRARY_PATH=../src:../src-cpp KAFKA_PATH=$kafka_home BROKERS=$bootstrap RDKAFKA_TEST_CONF=$work/test.conf TEST_KAFKA_VERSION=4.3.1 \
      TEST_SEED=$((SRANDOM & 0x7fffffff)) TEST_CONSUMER_GROUP_PROTOCOL=$2 SUBTESTS=$part TESTS=$test timeout -k 5 "$limit" ./test-runner -L -Q -p1 -s "$1"
  ) >"$log" 2>&1 </dev/null || true
  verdict=$(sed 's/\x1b\[[0-9;]*m//g' "$log" | tr -d '|' | awk -v name="$test" '$1 == name && $2 ~ /^(PASSED|FAILED|SKIPPED)$/ { print $2 }' | tail -1)
  case $verdict in
  PASSED) result pass "$3" ;;
  SKIPPED) result skip "$3" ;;
  *) result fail "$3" ;;
  esac
  echo "$((SECONDS - began)) ${verdict:-NONE} $3" >>"$work/seconds"
  [ "$verdict" = FAILED ] || [ -z "$verdict" ] || [ -n "$keep" ] || rm -f "$log"
}
