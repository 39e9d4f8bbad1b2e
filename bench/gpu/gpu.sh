#!/usr/bin/env bash
# Trains on the demo's data with each engine and device, and prints the time of a step and the recall.
#
#   bench/gpu/gpu.sh [engine:device ...]       default: onnx:cpu tfjs:cpu onnx:cuda tfjs:cuda
#
# Run `npm run build` first. For TensorFlow.js it takes what scripts/build-tfjs-node.sh has built, otherwise what is
# installed. For onnx on CUDA, run scripts/add-onnx-cuda.sh and set what it prints. An engine that cannot be used is a
# line with the reason. It ends within fifteen minutes: a training that has not ended after two minutes is stopped, and
# none begins after thirteen.
set -u
cd "$(dirname "$0")/../.."
[ -f dist/src/cli/main.js ] || { echo 'run `npm run build` first' >&2; exit 1; }
[ "$#" -gt 0 ] || set -- onnx:cpu tfjs:cpu onnx:cuda tfjs:cuda
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
began=$SECONDS

# A name, the steps, and what is trained: the default loss, then TLDR with wider and wider projectors.
shapes='neighbourhood-kl|60|--loss neighbourhood-kl --encoder residual-1024
projector 1024|30|--loss barlow-twins --encoder linear --projector mlp-1-1024 --batch 1024
projector 4096|10|--loss barlow-twins --encoder linear --projector mlp-1-4096 --batch 1024
projector 8192|5|--loss barlow-twins --encoder linear --projector mlp-1-8192 --batch 1024'

report() {
  node -e '
    const { readFileSync } = require("node:fs");
    const [file, shape] = process.argv.slice(1);
    const { training, candidates } = JSON.parse(readFileSync(file, "utf8").trimEnd().split("\n").at(-1));
    const [{ name, engine, device, backend, version, secondsPerStep, steps }] = training;
    const { recallAt10 } = candidates.find((one) => one.name === name);
    const ms = (1000 * secondsPerStep).toFixed(1);
    console.log(`| ${[shape, engine, device, `${backend} ${version}`, steps, ms, recallAt10.toFixed(3)].join(" | ")} |`);
  ' "$1" "$2"
}

echo "$(date -u +%F), $(nproc) cores, $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null || echo 'no NVIDIA GPU')"
echo
echo '| training | engine | device | package | steps | ms per step | recall@10 |'
echo '| --- | --- | --- | --- | ---: | ---: | ---: |'
while IFS='|' read -r name steps flags; do
  for pair in "$@"; do
    engine=${pair%%:*}
    device=${pair##*:}
    if [ $((SECONDS - began)) -gt 780 ]; then
      echo "| $name | $engine | $device | left out: no time was left | | | |"
      continue
    fi
    modules="$PWD/build/tfjs-node-$device/node_modules"
    # shellcheck disable=SC2086
    if NODE_PATH="$modules" timeout 120 node dist/src/cli/main.js train --input demo/data/base.npy --dim 64 \
      --out "$work/enc.onnx" --force --no-refit --json --engine "$engine" --device "$device" \
      $flags --steps "$steps" --threads "$(nproc)" </dev/null >"$work/out" 2>"$work/err"; then
      report "$work/out" "$name"
    else
      reason=$(grep -m 1 '^error' "$work/err" | cut -c1-160 | tr '|' '/')
      echo "| $name | $engine | $device | ${reason:-stopped after two minutes} | | | |"
    fi
  done
done <<<"$shapes"
