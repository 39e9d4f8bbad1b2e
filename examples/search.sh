#!/bin/sh
# Searches through the proxy with curl.
set -eu
curl --fail-with-body --silent --show-error "${PROXY_URL:-http://localhost:6433}/collections/docs/points/query" \
  -H 'content-type: application/json' -H "api-key: ${QDRANT_API_KEY:-}" \
  -d "{\"query\": $(cat query.json), \"limit\": 3}"
