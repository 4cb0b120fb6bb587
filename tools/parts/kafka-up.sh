#!/usr/bin/env bash
# kafka-up.sh STATE [BROKERS] : Apache Kafka (KRaft) of 1 or 3 brokers on loopback, data in STATE; prints the addresses.
#   KAFKA_VERSION (4.3.1), KAFKA_PORT (29092; the brokers take this one and the next, their controllers 1000 below), KAFKA_HEAP (768m),
#   KAFKA_ADVERTISED_PORT (the first of what clients are told, where something stands between; KAFKA_PORT)
# kafka-up.sh --kill STATE NODE   SIGKILL one broker        kafka-up.sh --start STATE NODE   start it again
# kafka-up.sh --down STATE        stop all, keep the data
# One broker: replication 1. Three: replication 3, min.insync 2.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

alive() { [ -f "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }

node() { # STATE NODE
  local s=$1/n$2
  (cd "$s" && exec java "-Xmx${KAFKA_HEAP:-768m}" -Xms256m -XX:+UseG1GC -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
    -cp "$(cat "$1/libs")/*" kafka.Kafka server.properties >> kafka.log 2>&1 < /dev/null) &
  echo $! > "$s/pid"
}

wait_ready() { # STATE NODE PORT
  for _ in $(seq 1 240); do
    alive "$1/n$2/pid" || break
    (exec 3<> "/dev/tcp/127.0.0.1/$3") 2>/dev/null && return 0
    sleep 0.25
  done
  echo "kafka-up: broker $2 is not listening on port $3; the end of $1/n$2/kafka.log:" >&2
  tail -5 "$1/n$2/kafka.log" >&2 || true
  return 1
}

case "${1:-}" in
  --down)
    [ -d "$2" ] || exit 0
    for p in "$2"/n*/pid; do if alive "$p"; then kill "$(cat "$p")" || true; fi; done
    for p in "$2"/n*/pid; do
      for _ in $(seq 1 60); do alive "$p" || break; sleep 0.25; done
      if alive "$p"; then kill -9 "$(cat "$p")" || true; fi
      rm -f "$p"
    done
    exit 0 ;;
  --kill) kill -9 "$(cat "$2/n$3/pid")"; exit 0 ;;
  --start)
    S=$(cd "$2" && pwd); node "$S" "$3"
    wait_ready "$S" "$3" "$(sed -n 's|^listeners=PLAINTEXT://[^,]*:\([0-9]*\),.*|\1|p' "$S/n$3/server.properties")"
    exit 0 ;;
  "" | -*) sed -n '2,7p' "$0" >&2; exit 2 ;;
esac

mkdir -p "$1"; S=$(cd "$1" && pwd); N=${2:-1}; B=${KAFKA_PORT:-29092}; C=$((B - 1000)); A=${KAFKA_ADVERTISED_PORT:-$B}
LIBS=$("$here/kafka-get.sh" "${KAFKA_VERSION:-4.3.1}")
echo "$LIBS" > "$S/libs"
R=1; ISR=1; [ "$N" -lt 3 ] || { R=3; ISR=2; }
list() { for i in $(seq 1 "$N"); do printf '%s%s%d' "$([ "$i" -eq 1 ] || echo ,)" "$1" $(($2 + i - 1)); done; }
voters=$(for i in $(seq 1 "$N"); do printf '%s%d@127.0.0.1:%d' "$([ "$i" -eq 1 ] || echo ,)" "$i" $((C + i - 1)); done)
for i in $(seq 1 "$N"); do
  for p in $((B + i - 1)) $((C + i - 1)); do
    if (exec 3<> "/dev/tcp/127.0.0.1/$p") 2>/dev/null; then
      echo "kafka-up: port $p is taken: stop what listens there, or set KAFKA_PORT" >&2; exit 1
    fi
  done
done
[ -s "$S/cluster-id" ] || java -cp "$LIBS/*" kafka.tools.StorageTool random-uuid 2>/dev/null | tail -1 > "$S/cluster-id"
for i in $(seq 1 "$N"); do
  mkdir -p "$S/n$i"
  cat > "$S/n$i/server.properties" <<P
process.roles=broker,controller
node.id=$i
controller.quorum.voters=$voters
listeners=PLAINTEXT://127.0.0.1:$((B + i - 1)),CONTROLLER://127.0.0.1:$((C + i - 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$((A + i - 1))
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$S/n$i/data
num.partitions=12
default.replication.factor=$R
min.insync.replicas=$ISR
offsets.topic.replication.factor=$R
offsets.topic.num.partitions=12
transaction.state.log.replication.factor=$R
transaction.state.log.min.isr=$ISR
transaction.state.log.num.partitions=12
share.coordinator.state.topic.replication.factor=$R
share.coordinator.state.topic.min.isr=$ISR
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
auto.create.topics.enable=false
P
  # Else a broker that is frozen holds up the markers of transactions for 30 s.
  [ "$N" -lt 3 ] || echo request.timeout.ms=5000 >> "$S/n$i/server.properties"
  [ -f "$S/n$i/data/meta.properties" ] ||
    java -cp "$LIBS/*" kafka.tools.StorageTool format -t "$(cat "$S/cluster-id")" -c "$S/n$i/server.properties" > "$S/n$i/format.log" 2>&1
  node "$S" "$i"
done
for i in $(seq 1 "$N"); do wait_ready "$S" "$i" $((B + i - 1)); done
list 127.0.0.1: "$A"; echo
