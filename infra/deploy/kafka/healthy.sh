#!/usr/bin/env bash
# Health check of the broker: sends Kafka's ApiVersions request (version 0) and checks the response.
# The image's own tools send the same request, but each call starts a Java virtual machine.
set -euo pipefail
port=${1:-9092}
exec 3<>"/dev/tcp/127.0.0.1/$port"
# request: length 10, API 18 version 0, correlation 1, no client id; response: length, correlation 1, error 0
printf '\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00\x01\xff\xff' >&3
answer=$(timeout 3 head -c 10 <&3 | tail -c 6 | od -An -tx1 | tr -d ' \n')
[ "$answer" = 000000010000 ]
