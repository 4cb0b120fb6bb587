#!/usr/bin/env bash
# redis-up.sh STATE PORT : a private redis-server on loopback that keeps nothing; prints its URL. redis-up.sh --down STATE.
set -euo pipefail
if [ "${1:-}" = --down ]; then
  p=$(cat "$2/pid" 2>/dev/null) || exit 0
  kill "$p" 2>/dev/null || true; rm -f "$2/pid"; exit 0
fi
[ $# -ge 2 ] || { sed -n '2p' "$0" >&2; exit 2; }
command -v redis-server > /dev/null || { echo "redis-up: redis-server is not installed: tools/parts/install.sh" >&2; exit 1; }
mkdir -p "$1"; S=$(cd "$1" && pwd)
(cd "$S" && exec redis-server --port "$2" --bind 127.0.0.1 --save '' --appendonly no --databases 1024 > redis.log 2>&1 < /dev/null) &
echo $! > "$S/pid"
for _ in $(seq 1 100); do
  kill -0 "$(cat "$S/pid")" 2>/dev/null || break
  if grep -q 'Ready to accept connections' "$S/redis.log" 2>/dev/null; then echo "redis://127.0.0.1:$2"; exit 0; fi
  sleep 0.1
done
echo "redis-up: not ready on port $2; the end of $S/redis.log:" >&2; tail -3 "$S/redis.log" >&2; exit 1
