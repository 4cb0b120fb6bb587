#!/usr/bin/env bash
# with-parts.sh COMMAND... : starts the real parts (Apache Kafka, a schema registry, PostgreSQL, Redis), runs the
# command with their addresses in its environment, stops them however it ends, and prints what the tests used.
#   REQUIRE=all   a part that cannot start is a failure; else it is left out, and the table says why.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# -gt 0 ] || { sed -n '2,4p' "$0" >&2; exit 2; }

# Parts of a run that was killed are stopped here; its folder says which run.
for old in /tmp/fluxnex-run-*; do
  pid=${old##*fluxnex-run-}; pid=${pid%%.*}
  [ -d "$old" ] && ! kill -0 "$pid" 2>/dev/null || continue
  for p in kafka registry pg redis; do [ ! -d "$old/$p" ] || "$here/$p-up.sh" --down "$old/$p" >/dev/null 2>&1; done
  # A tortured broker's disk is a file system of its own.
  awk -v under="$old/" 'index($2, under) == 1 { print $2 }' /proc/mounts | while read -r m; do umount "$m" || true; done
  rm -rf "$old"
done

# Not below the checkout: PostgreSQL runs under another account and must get there.
state=$(mktemp -d "/tmp/fluxnex-run-$$.XXXXXX"); chmod 711 "$state"
report=$state/report; : > "$report"

finish() {
  local code=$?
  trap - EXIT INT TERM
  for p in registry kafka pg redis; do [ ! -d "$state/$p" ] || "$here/$p-up.sh" --down "$state/$p" >/dev/null 2>&1; done
  echo
  "$here/table.sh" "$report" "$state/reasons"
  rm -rf "$state"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Below 32768, where no outgoing connection sits.
free_port() {
  local p
  for _ in $(seq 1 200); do
    p=$((17000 + RANDOM % 15000))
    (exec 3<> "/dev/tcp/127.0.0.1/$p") 2>/dev/null || { echo "$p"; return; }
  done
}

# start PART NAME : prints the address of tools/parts/NAME-up.sh; without it, notes the reason. A port may be taken
# between our look and the part's: once more with another.
start() {
  local out port
  for _ in 1 2 3; do
    port=$(free_port)
    if out=$(KAFKA_PORT=$port "$here/$2-up.sh" "$state/$2" ${3:+"$port"} 2> "$state/error"); then echo "$out" | tail -1; return; fi
    "$here/$2-up.sh" --down "$state/$2" > /dev/null 2>&1 || true
  done
  printf '%s\t%s\n' "$1" "$(grep -v '^[[:space:]]*at ' "$state/error" | tail -3 | tr '\n\t' '  ')" >> "$state/reasons"
}

: > "$state/reasons"
FLUXNEX_TEST_KAFKA_BROKERS=$(start "Kafka and registry" kafka)
FLUXNEX_TEST_REGISTRY_URL=$(start "Kafka and registry" registry port)
FLUXNEX_TEST_POSTGRES_URL=$(start PostgreSQL pg port)
FLUXNEX_TEST_REDIS_URL=$(start Redis redis port)
if [ -s "$state/reasons" ]; then
  echo "parts that did not start:"; sed 's/\t/: /; s/^/  /' "$state/reasons"
  [ "${REQUIRE:-}" != all ] || { echo "REQUIRE=all: that is a failure"; exit 1; }
fi
# The embedded registry of a test process goes with its embedded broker only.
if [ -z "$FLUXNEX_TEST_KAFKA_BROKERS" ] || [ -z "$FLUXNEX_TEST_REGISTRY_URL" ]; then
  unset FLUXNEX_TEST_KAFKA_BROKERS FLUXNEX_TEST_REGISTRY_URL
else
  echo "real parts: Apache Kafka ${KAFKA_VERSION:-4.3.1} at $FLUXNEX_TEST_KAFKA_BROKERS, registry at $FLUXNEX_TEST_REGISTRY_URL"
  export FLUXNEX_TEST_KAFKA_BROKERS FLUXNEX_TEST_REGISTRY_URL
fi
[ -z "$FLUXNEX_TEST_POSTGRES_URL" ] || export FLUXNEX_TEST_POSTGRES_URL
[ -z "$FLUXNEX_TEST_REDIS_URL" ] || export FLUXNEX_TEST_REDIS_URL
export FLUXNEX_PARTS_REPORT=$report
"$@"
