#!/usr/bin/env bash
# Adds ONNX Runtime's provider for CUDA to onnxruntime-node, from packages of the PyPI registry alone (Linux x64).
#
#   scripts/add-onnx-cuda.sh [folder]
#
# onnxruntime-node fetches that provider when it is installed, from a place outside the npm registry. The Python package
# onnxruntime-gpu of the same version has the same files. CUDA and cuDNN come from NVIDIA's packages for Python.
#
# The last line is the variable that makes `qdrant-tldr train --device cuda` find CUDA.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${1:-build/onnx-cuda}
stop() {
  echo "cannot add the provider here: $1" >&2
  exit 1
}
[ "$(uname -sm)" = 'Linux x86_64' ] || stop "its files are taken for Linux x86_64, this is $(uname -sm)"
python3 -m pip --version >/dev/null 2>&1 || stop 'python3 has no pip'
version=$(node -p "require('onnxruntime-node/package.json').version")
node_dir=$(dirname "$(ls node_modules/onnxruntime-node/bin/*/linux/x64/onnxruntime_binding.node)")

mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
if [ ! -d "$dir/nvidia" ]; then
  echo "fetching onnxruntime-gpu $version, CUDA and cuDNN, about 2 GB" >&2
  python3 -m pip install -q --disable-pip-version-check --only-binary :all: --python-version 3.11 \
    --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --target "$dir" \
    "onnxruntime-gpu[cuda,cudnn]==$version"
fi
for name in cuda shared; do
  cp "$dir/onnxruntime/capi/libonnxruntime_providers_$name.so" "$node_dir/"
done
libraries=$(find "$dir/nvidia" -name '*.so*' -exec dirname {} \; | sort -u | paste -sd:)
echo "LD_LIBRARY_PATH=$libraries"
