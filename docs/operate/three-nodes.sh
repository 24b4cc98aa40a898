#!/usr/bin/env bash
# Three nodes of one cluster on this machine, each with all components: every sample is on three
# of them, and any one may be killed. Runs until it is interrupted.
#
#   three-nodes.sh [DIR]
#
# URD      the program                   (urd)
# HTTP     ports of the nodes            (8080 8081 8082)
# GRPC     the same for gRPC             (9095 9096 9097)
# GOSSIP   the same for gossip           (7946 7947 7948)
# OPTIONS  further options of every node
set -euo pipefail
dir=$(realpath -m "${1:-./three-nodes}")
urd=${URD:-urd}
read -ra http <<<"${HTTP:-8080 8081 8082}"
read -ra grpc <<<"${GRPC:-9095 9096 9097}"
read -ra gossip <<<"${GOSSIP:-7946 7947 7948}"
read -ra options <<<"${OPTIONS:-}"

nodes=()
trap 'kill "${nodes[@]}" 2>/dev/null || true; wait' EXIT
trap 'exit 0' INT TERM

for number in 0 1 2; do
  name=node-$((number + 1))
  mkdir -p "$dir/$name" "$dir/bucket"
  rings=()
  for ring in ingester.ring distributor.ring store-gateway.sharding-ring compactor.ring; do
    rings+=("-$ring.instance-id=$name" "-$ring.instance-addr=127.0.0.1")
  done
  # In a directory of its own: what a node keeps stands below it.
  (
    cd "$dir/$name"
    exec "$urd" -target=all -auth.multitenancy-enabled=false \
      -server.http-listen-address=127.0.0.1 -server.http-listen-port="${http[number]}" \
      -server.grpc-listen-address=127.0.0.1 -server.grpc-listen-port="${grpc[number]}" \
      -memberlist.bind-addr=127.0.0.1 -memberlist.bind-port="${gossip[number]}" \
      "${gossip[@]/#/-memberlist.join=127.0.0.1:}" -memberlist.abort-if-join-fails=false \
      -ingester.ring.replication-factor=3 -store-gateway.sharding-ring.replication-factor=3 \
      "${rings[@]}" -blocks-storage.filesystem.dir="$dir/bucket" \
      "${options[@]}" >>urd.log 2>&1
  ) &
  nodes+=($!)
  echo "$name: http://127.0.0.1:${http[number]} , log $dir/$name/urd.log"
done
wait
