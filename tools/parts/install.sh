#!/usr/bin/env bash
# install.sh : what the whole test suite needs beside Go: PostgreSQL, Redis, Java with Maven (for Apache Kafka and
# its schema registry), curl. Installs what is missing by apt-get when it is root on Debian; says what it does.
set -euo pipefail
need=()
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null || need+=(postgresql)
command -v redis-server >/dev/null || need+=(redis-server)
command -v java >/dev/null || need+=(default-jre-headless)
command -v mvn >/dev/null || need+=(maven)
command -v curl >/dev/null || need+=(curl)
command -v make >/dev/null || need+=(make)
command -v git >/dev/null || need+=(git)
command -v gcc >/dev/null || need+=(gcc libc6-dev) # the race detector is C
[ "${#need[@]}" -gt 0 ] || { echo "parts: everything is installed"; exit 0; }
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "parts: missing ${need[*]}: install them with your package manager (on Debian: sudo apt-get install ${need[*]})" >&2
  exit 1
fi
echo "parts: apt-get install ${need[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
# Debian starts the servers it installs; the suite starts private ones and needs none of them.
for s in postgresql redis-server; do
  case " ${need[*]} " in *" $s "*) command -v systemctl >/dev/null && systemctl disable --now "$s" >/dev/null 2>&1 || true ;; esac
done
