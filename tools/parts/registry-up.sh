#!/usr/bin/env bash
# registry-up.sh STATE PORT : a schema registry over Confluent's API (Apicurio, ccompat v7) on loopback, in memory;
# prints its base URL. registry-up.sh --down STATE. Java 21 or newer runs 3.3.3, Java 17 runs 2.6.13.
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ "${1:-}" = --down ]; then
  p=$(cat "$2/pid" 2>/dev/null) || exit 0
  kill "$p" 2>/dev/null || true; rm -f "$2/pid"; exit 0
fi
[ $# -ge 2 ] || { sed -n '2,3p' "$0" >&2; exit 2; }
mkdir -p "$1"; S=$(cd "$1" && pwd); P=$2
JAVA=java; M=0
for j in java /usr/lib/jvm/*/bin/java; do
  v=$("$j" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -1) || v=0
  if [ "${v:-0}" -gt "$M" ]; then JAVA=$j; M=$v; fi
done
[ "$M" -ge 17 ] || { echo "registry-up: needs Java 17 or newer, found ${M}: install default-jre-headless" >&2; exit 1; }
V=3.3.3; [ "$M" -ge 21 ] || V=2.6.13.Final
C=${FLUXNEX_CACHE:-.cache}/registry; mkdir -p "$C"; C=$(cd "$C" && pwd)
if [ ! -d "$C/$V" ]; then
  echo "parts: fetching the schema registry $V (160 MB, once)" >&2
  mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
    -Dartifact="io.apicurio:apicurio-registry-app:$V:tar.gz:all" -DoutputDirectory="$C" >&2
  rm -rf "$C/$V.new"; mkdir "$C/$V.new"
  tar xzf "$C/apicurio-registry-app-$V-all.tar.gz" -C "$C/$V.new"
  mv "$C/$V.new" "$C/$V"; rm -f "$C/apicurio-registry-app-$V-all.tar.gz"
fi
JAR=$(ls "$C/$V"/quarkus-run.jar "$C/$V"/*-runner.jar 2>/dev/null | head -1 || true)
[ -n "$JAR" ] || { echo "registry-up: no jar in $C/$V: remove that folder and run again" >&2; exit 1; }
(cd "$S" && exec "$JAVA" -Xmx512m -Dquarkus.http.host=127.0.0.1 -Dquarkus.http.port="$P" \
  -Dquarkus.management.host=127.0.0.1 -Dquarkus.management.port=0 -jar "$JAR" > registry.log 2>&1 < /dev/null) &
echo $! > "$S/pid"
URL=http://127.0.0.1:$P/apis/ccompat/v7
for _ in $(seq 1 240); do
  kill -0 "$(cat "$S/pid")" 2>/dev/null || break
  if curl -sf "$URL/subjects" > /dev/null; then echo "$URL"; exit 0; fi
  sleep 0.25
done
echo "registry-up: not answering on port $P; the end of $S/registry.log:" >&2; tail -5 "$S/registry.log" >&2; exit 1
