# shellcheck shell=bash disable=SC2154
# Kafka's verifiable producer and consumer and its transactional message copier, from its jars, through kills; sourced by scripts/suites.
# shellcheck source=tests/compat/kafka.sh
source "$suites_dir/kafka.sh"
messages=${SUITES_MESSAGES:-20000}

setup() {
  need_apt python3 python3
  need_kafka
}

run() {
  local name
  start_cluster group.initial.rebalance.delay.ms=0
  for name in $(python3 "$suite_dir/run.py" list); do
    wanted "$name" || continue
    # CLUSTER is empty when the cluster is somebody else's: then no node is killed.
    if CLUSTER=$(cluster_is_ours && echo "$cluster") SCRIPT=$root/scripts/cluster NODES=$nodes JARS=$kafka_home/libs MESSAGES=$messages \
      timeout -k 10 600 python3 "$suite_dir/run.py" "$bootstrap" "$work/$name" "$name" >"$work/$name.log" 2>&1 </dev/null; then
      result pass "$name"
    else
      result fail "$name"
      sed -n 's/^failed: /    /p' "$work/$name.log"
    fi
  done
}
