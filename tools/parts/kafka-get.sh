#!/usr/bin/env bash
# kafka-get.sh [VERSION] : Apache Kafka's jars, through Maven, into the cache; prints their folder.
set -euo pipefail
cd "$(dirname "$0")/../.."
V=${1:-4.3.1}; D=${FLUXNEX_CACHE:-.cache}/kafka/$V
mkdir -p "$D"; D=$(cd "$D" && pwd)
[ ! -f "$D/complete" ] || { echo "$D/libs"; exit 0; }
echo "parts: fetching Apache Kafka $V (54 MB, once)" >&2
cat > "$D/pom.xml" <<P
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>com.fluxnex</groupId><artifactId>kafka-libs</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>
 <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$V</version></dependency>
 <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$V</version></dependency>
 <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
</dependencies></project>
P
(cd "$D" && mvn -q -B -f pom.xml dependency:copy-dependencies -DoutputDirectory=libs -DincludeScope=runtime) >&2
# One logger only: simple, to a file.
rm -f "$D"/libs/slf4j-reload4j* "$D"/libs/log4j-slf4j*
touch "$D/complete"
echo "$D/libs"
