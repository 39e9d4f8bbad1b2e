#!/usr/bin/env bash
# Adds ONNX Runtime's provider for CUDA to onnxruntime-node, from packages of the PyPI registry alone (Linux x64).
#
#   scripts/add-onnx-cuda.sh [folder]          default: build/onnx-cuda
#
# onnxruntime-node fetches that provider when it is installed, from a place outside the npm registry. The Python package
# onnxruntime-gpu of the same version has the same files. CUDA and cuDNN come from NVIDIA's packages for Python. They
# stay in the folder; the provider is copied into node_modules/onnxruntime-node.
#
# The last line is the variable that makes `qdrant-tldr train --device cuda` find CUDA.
# Needs Node, `npm ci`, and python3 with pip. It fetches about 2 GB and takes 2.8 GB of disk.
set -euo pipefail
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }
stop() {
  echo "cannot add the provider here: $1" >&2
  exit 1
}
case ${1:-} in
  -h | --help)
    usage
    exit 0
    ;;
  -*)
    echo "expected a folder, got $1: see --help" >&2
    exit 2
    ;;
esac
[ "$#" -le 1 ] || { echo 'expected one folder: see --help' >&2; exit 2; }
dir=$(realpath -m "${1:-$(dirname "$0")/../build/onnx-cuda}")
cd "$(dirname "$0")/.."

[ "$(uname -sm)" = 'Linux x86_64' ] || stop "its files are taken for Linux x86_64, this is $(uname -sm)"
command -v node >/dev/null || stop 'node is not installed'
python3 -m pip --version >/dev/null 2>&1 || stop 'python3 has no pip'
version=$(node -p "require('onnxruntime-node/package.json').version" 2>/dev/null) ||
  stop 'onnxruntime-node is not installed: run `npm ci` first'
binding=$(find node_modules/onnxruntime-node/bin -path '*/linux/x64/onnxruntime_binding.node' | head -1)
[ -n "$binding" ] || stop "onnxruntime-node $version has no library for Linux x64"

mkdir -p "$dir"
packages="$dir/onnxruntime-gpu-$version"
if [ ! -d "$packages" ]; then
  echo "fetching onnxruntime-gpu $version, CUDA and cuDNN into $dir: about 2 GB" >&2
  # Made under another name first, so that a half-filled folder is never used.
  draft=$(mktemp -d "$dir/draft.XXXXXX")
  trap 'rm -rf "$draft"' EXIT
  python3 -m pip install -q --disable-pip-version-check --root-user-action ignore --only-binary :all: \
    --python-version 3.11 --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 \
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --target "$draft" \
    "onnxruntime-gpu[cuda,cudnn]==$version" || stop "pip cannot install onnxruntime-gpu $version"
  chmod 755 "$draft"
  mv "$draft" "$packages"
fi
for name in cuda shared; do
  # Files in node_modules may be links to those of other installations.
  cp --remove-destination "$packages/onnxruntime/capi/libonnxruntime_providers_$name.so" "$(dirname "$binding")/"
done
libraries=$(find "$packages/nvidia" -name '*.so*' -exec dirname {} \; | sort -u | paste -sd:)
echo "LD_LIBRARY_PATH=$libraries"
