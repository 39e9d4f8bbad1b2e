#!/bin/sh
# Compares docs_small with docs, looks for drift, and ends with exit code 10 if a term does not hold.
# cron: 0 3 * * * cd /srv/search && ./evaluate.sh || ./tell-somebody.sh
set -eu
: "${ACCEPT:=recall@10>=0.95, drift<=15%}"
qdrant-tldr evaluate docs docs_small --encoder enc.onnx --drift --sample "${SAMPLE:-500}" \
  --accept "$ACCEPT" --junit evaluation.xml --report evaluation.html --force
