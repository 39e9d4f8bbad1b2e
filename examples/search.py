"""Searches through the proxy with the official client for Python, over REST and over gRPC.

pip install qdrant-client
"""

import json
import os
from urllib.parse import urlsplit

from qdrant_client import QdrantClient

rest = urlsplit(os.environ.get("PROXY_URL", "http://localhost:6433"))
grpc = urlsplit(os.environ.get("PROXY_GRPC_URL", "http://localhost:6434"))
with open("query.json") as file:
    query = json.load(file)

for prefer_grpc in (False, True):
    client = QdrantClient(
        host=rest.hostname, port=rest.port, grpc_port=grpc.port, https=False, prefer_grpc=prefer_grpc
    )
    for point in client.query_points("docs", query=query, limit=3).points:
        print(point.id, f"{point.score:.4f}")
