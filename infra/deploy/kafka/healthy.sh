#!/usr/bin/env bash
# The health check of the broker: does it answer Kafka's own question, which versions it speaks (ApiVersions, v0)?
# The image's tools would ask the same, and start a Java machine of their own every few seconds.
set -euo pipefail
port=${1:-9092}
exec 3<>"/dev/tcp/127.0.0.1/$port"
# length 10, API 18 version 0, correlation 1, no client id; answered by length, correlation 1, error 0
printf '\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00\x01\xff\xff' >&3
answer=$(timeout 3 head -c 10 <&3 | tail -c 6 | od -An -tx1 | tr -d ' \n')
[ "$answer" = 000000010000 ]
