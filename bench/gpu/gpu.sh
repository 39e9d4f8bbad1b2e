#!/usr/bin/env bash
# Trains on the demo's data with each engine and device, and prints the time of a step and the recall as a table.
#
#   bench/gpu/gpu.sh [engine:device ...]       default: onnx:cpu tfjs:cpu onnx:cuda tfjs:cuda
#
# Run `npm run build` first. For TensorFlow.js it takes what scripts/build-tfjs-node.sh has built, otherwise what is
# installed. For onnx on CUDA, run scripts/add-onnx-cuda.sh first: it takes CUDA from there. An engine that cannot be
# used is a line, with the reason below the table.
#
# It ends within fifteen minutes: a training that has not ended after two minutes is stopped, and none begins after
# thirteen. Without a GPU, `bench/gpu/gpu.sh onnx:cpu tfjs:cpu` compares the engines on the CPU.
set -u
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }
for pair in "$@"; do
  case $pair in
    onnx:cpu | onnx:cuda | tfjs:cpu | tfjs:cuda) ;;
    -h | --help)
      usage
      exit 0
      ;;
    *)
      echo "expected onnx:cpu, onnx:cuda, tfjs:cpu or tfjs:cuda, got $pair: see --help" >&2
      exit 2
      ;;
  esac
done
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

# The folders with CUDA for onnx. TensorFlow has another version of it beside its own library.
cuda_for_onnx=$(find "$PWD"/build/onnx-cuda/onnxruntime-gpu-*/nvidia -name '*.so*' -exec dirname {} \; 2>/dev/null |
  sort -u | paste -sd:)

train() { # engine, device, steps, flags
  local modules="$PWD/build/tfjs-node-$2/node_modules" libraries=${LD_LIBRARY_PATH:-}
  if [ "$1" = onnx ] && [ -n "$cuda_for_onnx" ]; then libraries="$cuda_for_onnx${libraries:+:$libraries}"; fi
  # The state of a training that was stopped belongs to that training alone.
  rm -rf "${work:?}"/*
  # shellcheck disable=SC2086
  NODE_PATH="$modules${NODE_PATH:+:$NODE_PATH}" LD_LIBRARY_PATH=$libraries TF_CPP_MIN_LOG_LEVEL=2 timeout -k 5 120 \
    node dist/src/cli/main.js train --input demo/data/base.npy --dim 64 --seed 1 --out "$work/enc.onnx" --force \
    --no-refit --json --engine "$1" --device "$2" $4 --steps "$3" --threads "$(nproc)" \
    </dev/null >"$work/out" 2>"$work/err"
}

report() { # a training's name
  node -e '
    const { readFileSync } = require("node:fs");
    const [file, shape] = process.argv.slice(1);
    const { training, candidates } = JSON.parse(readFileSync(file, "utf8").trimEnd().split("\n").at(-1));
    const [{ name, engine, device, backend, version, secondsPerStep, steps }] = training;
    const { recallAt10 } = candidates.find((one) => one.name === name);
    const ms = (1000 * secondsPerStep).toFixed(1);
    console.log(`| ${[shape, engine, device, `${backend} ${version}`, steps, ms, recallAt10.toFixed(3)].join(" | ")} |`);
  ' "$work/out" "$1"
}

# Why an engine cannot be used on a device; it is not tried again.
declare -A unusable
why() {
  local words
  words=$(grep -m 1 -i 'error' "$work/err" || tail -n 1 "$work/err")
  echo "${words:-it ended without a word}"
}

gpu=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null) || gpu='no NVIDIA GPU'
processor=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo 2>/dev/null | head -1)
echo "$(date -u +%F), $(nproc) cores (${processor:-unknown processor}), $gpu, Node $(node -v), seed 1, demo/data/base.npy to 64 dimensions"
echo
echo '| training | engine | device | package | steps | ms per step | recall@10 |'
echo '| --- | --- | --- | --- | ---: | ---: | ---: |'
while IFS='|' read -r name steps flags; do
  for pair in "$@"; do
    engine=${pair%%:*}
    device=${pair##*:}
    if [ -n "${unusable[$pair]:-}" ]; then
      outcome='cannot be used, see below'
    elif [ $((SECONDS - began)) -gt 780 ]; then
      outcome='left out: no time was left'
    elif train "$engine" "$device" "$steps" "$flags"; then
      report "$name"
      continue
    else
      # `timeout` ends with 124, or with 137 if it had to kill the process.
      case $? in
        124 | 137) outcome='stopped after two minutes' ;;
        *) unusable[$pair]=$(why) outcome='cannot be used, see below' ;;
      esac
    fi
    echo "| $name | $engine | $device | $outcome | | | |"
  done
done <<<"$shapes"
for pair in "${!unusable[@]}"; do printf '\n%s: %s\n' "$pair" "${unusable[$pair]}"; done
