#!/usr/bin/env bash
# Builds TensorFlow.js for Node natively, from packages of the npm and PyPI registries alone (Linux x64).
#
#   scripts/build-tfjs-node.sh [cpu|cuda] [folder]
#
# The npm packages @tensorflow/tfjs-node and @tensorflow/tfjs-node-gpu fetch TensorFlow's C library when they are
# installed, from a place outside the registries. This script takes the library and its headers from TensorFlow's
# Python wheel instead, and compiles the package's own sources against them. `cuda` takes the wheel with CUDA, and
# NVIDIA's wheels with CUDA 12.2 and cuDNN 8.9.
#
# The last line names the variable that makes `qdrant-tldr train --engine tfjs` find the result.
# Needs Node with its headers, npm, python3 with pip, make and g++. It writes to the folder alone.
set -euo pipefail
case ${1:-} in
  -h | --help)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
    exit 0
    ;;
esac
cd "$(dirname "$0")/.."

kind=${1:-cpu}
dir=${2:-build/tfjs-node-$kind}
version=4.22.0
case $kind in
  cpu)
    package=@tensorflow/tfjs-node
    wheels='tensorflow-cpu==2.15.1 --hash=sha256:54660c074d7241a503e81edfd9f5ef5af88f64051b72e2945f26318c790f2d26'
    ;;
  cuda)
    package=@tensorflow/tfjs-node-gpu
    wheels='tensorflow==2.15.1 --hash=sha256:bb0edd69103c154245c5f209f0507355cc68ba7e4de350084bc31edc562478e4'
    ;;
  *)
    echo "expected cpu or cuda, got $kind" >&2
    exit 2
    ;;
esac
# The versions that TensorFlow 2.15.1 names for its CUDA.
nvidia='nvidia-cublas-cu12==12.2.5.6 nvidia-cuda-cupti-cu12==12.2.142 nvidia-cuda-nvcc-cu12==12.2.140
  nvidia-cuda-nvrtc-cu12==12.2.140 nvidia-cuda-runtime-cu12==12.2.140 nvidia-cudnn-cu12==8.9.4.25
  nvidia-cufft-cu12==11.0.8.103 nvidia-curand-cu12==10.3.3.141 nvidia-cusolver-cu12==11.5.2.141
  nvidia-cusparse-cu12==12.1.2.141 nvidia-nccl-cu12==2.16.5 nvidia-nvjitlink-cu12==12.2.140'

stop() {
  echo "cannot build $package here: $1" >&2
  exit 1
}
[ "$(uname -sm)" = 'Linux x86_64' ] || stop "TensorFlow's wheels are taken for Linux x86_64, this is $(uname -sm)"
for tool in node npm python3 make g++; do command -v "$tool" >/dev/null || stop "$tool is not installed"; done
python3 -m pip --version >/dev/null 2>&1 || stop 'python3 has no pip'
# node-gyp would download headers; those beside the running Node serve as well.
prefix=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
[ -f "$prefix/include/node/node.h" ] && export npm_config_nodedir="$prefix"

mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
module="$dir/node_modules/$package"
deps="$module/deps"
say() { echo "TensorFlow.js: $*" >&2; }
usable() { (cd "$dir" && TF_CPP_MIN_LOG_LEVEL=2 node -e "require('$package')" >/dev/null 2>&1); }

if ! usable; then
  work=$(mktemp -d "$dir/work.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  say "installing $package $version without its install script"
  echo '{"private":true}' >"$dir/package.json"
  npm install --prefix "$dir" --ignore-scripts --no-audit --no-fund --silent "$package@$version"

  say "fetching TensorFlow 2.15.1 ($kind)"
  echo "$wheels" >"$work/requirements.txt"
  fetch=(--no-deps --only-binary :all: --python-version 3.11 --implementation cp --platform manylinux_2_17_x86_64)
  python3 -m pip download -q --disable-pip-version-check "${fetch[@]}" --require-hashes \
    --dest "$work" -r "$work/requirements.txt"
  rm -rf "$deps"
  mkdir -p "$deps/lib"
  python3 - "$work" "$deps" <<'PYTHON'
import pathlib, shutil, sys, zipfile

work, deps = map(pathlib.Path, sys.argv[1:])
wanted = ("tensorflow/include/tensorflow/c/", "tensorflow/include/tensorflow/core/platform/ctstring",
          "tensorflow/include/tsl/platform/ctstring", "tensorflow/include/tsl/c/")
with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
    for name in wheel.namelist():
        if name in ("tensorflow/libtensorflow_cc.so.2", "tensorflow/libtensorflow_framework.so.2"):
            target = deps / "lib" / pathlib.PurePosixPath(name).name
        elif name.startswith(wanted) and name.endswith(".h"):
            target = deps / "include" / pathlib.PurePosixPath(name).relative_to("tensorflow/include")
        else:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with wheel.open(name) as source, open(target, "wb") as copy:
            shutil.copyfileobj(source, copy)
PYTHON
  # The C functions that the addon calls are in TensorFlow's C++ library.
  ln -sf libtensorflow_cc.so.2 "$deps/lib/libtensorflow.so"
  ln -sf libtensorflow_framework.so.2 "$deps/lib/libtensorflow_framework.so"
  if [ "$kind" = cuda ]; then
    say 'fetching CUDA 12.2 and cuDNN 8.9, about 1.6 GB'
    # shellcheck disable=SC2086
    python3 -m pip install -q --disable-pip-version-check --no-deps --only-binary :all: \
      --platform manylinux1_x86_64 --platform manylinux2014_x86_64 --target "$deps" $nvidia
  fi

  say "compiling the addon"
  (cd "$module" && "$dir/node_modules/.bin/node-pre-gyp" install --build-from-source >"$dir/build.log" 2>&1) ||
    stop "the addon does not compile: $dir/build.log"
  usable || stop "the addon was built but does not load: (cd $dir && node -e \"require('$package')\")"
fi
say "$package $version is ready ($(du -sh "$dir" | cut -f1))"
echo "NODE_PATH=$dir/node_modules"
