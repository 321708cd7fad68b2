# shellcheck shell=bash disable=SC2154
# Kafka's own command-line tools, from its jars: for the suites that run them. Sourced by suite.sh files.
kafka_home=$place/kafka

# need_kafka: puts the jars, and scripts with the names that Kafka's distribution gives its tools, into $kafka_home.
need_kafka() {
  need_apt java default-jdk-headless; need_apt mvn maven
  local sum
  sum=$(cat "$suites_dir/pom.xml" "$suites_dir/kafka.sh" | sha256sum)
  [ "$(cat "$kafka_home/stamp" 2>/dev/null)" != "$sum" ] || return 0
  rm -rf "$kafka_home" && mkdir -p "$kafka_home/bin"
  mvn -q -B -f "$suites_dir/pom.xml" dependency:copy-dependencies "-DoutputDirectory=$kafka_home/libs" -DincludeScope=runtime >"$kafka_home/mvn.log" 2>&1 ||
    die "Kafka's tools cannot be had; see $kafka_home/mvn.log"
  kafka_script kafka-run-class.sh
  kafka_script kafka-topics.sh org.apache.kafka.tools.TopicCommand
  kafka_script kafka-acls.sh org.apache.kafka.tools.AclCommand
  echo "$sum" >"$kafka_home/stamp"
}

# The compiler's first stage is enough for tools that run for seconds.
kafka_script() {
  # shellcheck disable=SC2016
  printf '#!/bin/sh\nexec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$CLASSPATH:%s/libs/*" %s "$@"\n' "$kafka_home" "${2:-}" >"$kafka_home/bin/$1"
  chmod +x "$kafka_home/bin/$1"
}
