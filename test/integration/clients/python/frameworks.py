"""The vector stores of Python frameworks: insert, search, filter, diversify, delete. Prints one JSON object per step.

usage: python frameworks.py FRAMEWORK REST_URL GRPC_URL COLLECTION DATA_FILE

With MCP-SERVER as its framework, the program is an MCP server on standard input and output, as mcp-server-qdrant is.
"""

import asyncio
import json
import os
import re
import sys
import tempfile
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from qdrant_client import QdrantClient, models

# None of them reports to anybody while the tests run, or writes to the home folder.
os.environ.update(MEM0_TELEMETRY="False", HAYSTACK_TELEMETRY_ENABLED="False", MEM0_DIR=tempfile.mkdtemp())


def show(call, answer):
    print(json.dumps({"call": call, "answer": answer}), flush=True)


class Place:
    """The collection and the texts that are written to it; the vectors of texts and questions are given."""

    def __init__(self, rest_url, name, data):
        self.rest_url, self.name, self.data = rest_url, name, data
        self.client = QdrantClient(url=rest_url, timeout=300)
        self.texts = [f"text {i}" for i in range(len(data["points"]))]
        self.vectors = {f"text {i}": point["vector"] for i, point in enumerate(data["points"])}
        self.vectors |= {f"question {i}": vector for i, vector in enumerate(data["queries"])}
        self.ids = [str(uuid.UUID(int=i + 1)) for i in range(len(self.texts))]
        self.metadata = [{"kind": "new", "half": "even" if i % 2 == 0 else "odd"} for i in range(len(self.texts))]
        self.size = len(data["queries"][0])

    def count(self, call):
        show(call, self.client.count(self.name, exact=True).count)


def has(key, value):
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def langchain(place):
    from langchain_core.embeddings import Embeddings
    from langchain_qdrant import QdrantVectorStore

    class Given(Embeddings):
        def embed_documents(self, texts):
            # The store embeds a word of its own to learn the size.
            return [place.vectors.get(text, place.vectors["text 0"]) for text in texts]

        def embed_query(self, text):
            return place.vectors[text]

    client, name, embeddings = place.client, place.name, Given()
    # snippet: LangChain
    store = QdrantVectorStore(client=client, collection_name=name, embedding=embeddings)
    # end
    show("insert", store.add_texts(place.texts, place.metadata, ids=place.ids))
    new = models.Filter(must=[has("metadata.kind", "new")])
    even = models.Filter(must=[has("metadata.half", "even")])

    def shown(found):
        return [{"id": document.page_content, "score": score} for document, score in found]

    show("search", shown(store.similarity_search_with_score("text 3", k=1)))
    show("filter", shown(store.similarity_search_with_score("question 1", k=5, filter=even)))
    query = place.vectors["question 2"]
    show("search by vector", shown(store.similarity_search_with_score_by_vector(query, k=5, filter=new)))
    diverse = store.max_marginal_relevance_search("question 3", k=5, fetch_k=15, filter=new)
    show("diversity", [{"id": document.page_content, "score": 0.0} for document in diverse])
    show("get by ids", [document.page_content for document in store.get_by_ids(place.ids[:2])])
    show("delete", store.delete(place.ids))


def llama_index(place):
    from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
    from llama_index.core.vector_stores import MetadataFilter, MetadataFilters, VectorStoreQuery
    from llama_index.vector_stores.qdrant import QdrantVectorStore

    client, name = place.client, place.name
    # snippet: LlamaIndex
    store = QdrantVectorStore(client=client, collection_name=name)
    # end
    source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id="one document")}
    nodes = [
        TextNode(text=text, id_=id, metadata=metadata, embedding=place.vectors[text], relationships=source)
        for text, id, metadata in zip(place.texts, place.ids, place.metadata)
    ]
    show("insert", store.add(nodes))

    def query(call, text, top, **filters):
        wanted = MetadataFilters(filters=[MetadataFilter(key=key, value=value) for key, value in filters.items()])
        request = VectorStoreQuery(query_embedding=place.vectors[text], similarity_top_k=top, filters=wanted)
        found = store.query(request)
        hits = zip(found.nodes, found.similarities)
        show(call, [{"id": node.get_content(), "score": score} for node, score in hits])

    query("search", "text 3", 1)
    query("search new ones", "question 1", 5, kind="new")
    query("filter", "question 2", 5, half="even")
    show("get nodes", sorted(node.get_content() for node in store.get_nodes(node_ids=place.ids[:2])))
    store.delete_nodes(place.ids[:5])
    place.count("after deleting nodes")
    store.delete("one document")


def haystack(place):
    from haystack import Document
    from haystack.document_stores.types import DuplicatePolicy
    from haystack_integrations.components.retrievers.qdrant import QdrantEmbeddingRetriever
    from haystack_integrations.document_stores.qdrant import QdrantDocumentStore

    url, name, size = place.rest_url, place.name, place.size
    # snippet: Haystack
    store = QdrantDocumentStore(url=url, index=name, embedding_dim=size, timeout=300)
    # end
    documents = [
        Document(id=id, content=text, meta=metadata, embedding=place.vectors[text])
        for text, id, metadata in zip(place.texts, place.ids, place.metadata)
    ]
    show("insert", store.write_documents(documents, DuplicatePolicy.OVERWRITE))

    def search(call, text, top, key, value):
        wanted = {"field": f"meta.{key}", "operator": "==", "value": value}
        retriever = QdrantEmbeddingRetriever(document_store=store, top_k=top, filters=wanted)
        found = retriever.run(query_embedding=place.vectors[text])["documents"]
        show(call, [{"id": document.content, "score": document.score} for document in found])

    search("search", "text 3", 5, "kind", "new")
    search("filter", "question 1", 5, "half", "even")
    show("count", store.count_documents())
    wanted = {"field": "meta.half", "operator": "==", "value": "odd"}
    show("documents", sorted(document.content for document in store.filter_documents(wanted)))
    store.delete_documents([document.id for document in documents])


def mem0(place):
    from mem0.vector_stores.qdrant import Qdrant

    client, name, size = place.client, place.name, place.size
    # snippet: mem0
    store = Qdrant(collection_name=name, embedding_model_dims=size, client=client)
    # end
    payloads = [{"data": text, "user_id": "ann" if i % 2 else "bob"} for i, text in enumerate(place.texts)]
    store.insert([place.vectors[text] for text in place.texts], payloads, place.ids)

    def shown(found):
        return [{"id": hit.payload["data"], "score": hit.score} for hit in found]

    vector = place.vectors
    show("search", shown(store.search("text 3", vector["text 3"], top_k=1)))
    show("filter", shown(store.search("question 1", vector["question 1"], top_k=5, filters={"user_id": "bob"})))
    store.update(place.ids[0], vector["text 1"], {"data": "moved", "user_id": "bob"})
    show("after update", shown(store.search("text 1", vector["text 1"], top_k=2)))
    show("get", store.get(place.ids[0]).payload)
    listed, _ = store.list(filters={"user_id": "ann"})
    show("list", sorted(point.payload["data"] for point in listed))
    for id in place.ids:
        store.delete(id)


def embeddings_api(place):
    """Starts a server with OpenAI's interface for embeddings, on a free port. Returns its address."""

    class Api(BaseHTTPRequestHandler):
        def do_POST(self):
            texts = json.loads(self.rfile.read(int(self.headers["content-length"])))["input"]
            data = [{"index": i, "embedding": place.vectors[text]} for i, text in enumerate(texts)]
            body = json.dumps({"object": "list", "model": "given", "data": data}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/v1"


def mem0_memory(place):
    from mem0 import Memory

    client, name, size, api = place.client, place.name, place.size, embeddings_api(place)
    embedder = {"openai_base_url": api, "api_key": "none", "embedding_dims": size}
    # snippet: mem0-Memory
    store = {"collection_name": name, "embedding_model_dims": size, "client": client}
    # end
    memory = Memory.from_config(
        {
            "vector_store": {"provider": "qdrant", "config": store},
            "embedder": {"provider": "openai", "config": embedder},
            # Memories are kept as they are given (infer=False), so nothing asks the language model.
            "llm": {"provider": "openai", "config": {"openai_base_url": api, "api_key": "none"}},
            "history_db_path": ":memory:",
        }
    )
    ids = {}
    for i, text in enumerate(place.texts):
        user = "ann" if i % 2 else "bob"
        added = memory.add(text, user_id=user, metadata=place.metadata[i], infer=False)["results"]
        ids |= {one["memory"]: one["id"] for one in added}
    show("add", sorted(ids))

    def search(call, text, top, **filters):
        found = memory.search(text, top_k=top, filters=filters, threshold=0.0)["results"]
        if len(found) != top:
            raise RuntimeError(f"{call}: {len(found)} memories, expected {top}")
        show(call, [{"id": hit["memory"], "score": hit["score"]} for hit in found])

    search("search", "text 3", 1, user_id="ann")
    search("search of a user", "question 1", 5, user_id="bob")
    search("filter", "question 2", 5, user_id="ann", half="odd")
    memory.update(ids["text 0"], text="question 3")
    search("after update", "question 3", 1, user_id="bob")
    show("get", {key: memory.get(ids["text 0"])[key] for key in ("memory", "user_id", "metadata")})
    listed = memory.get_all(filters={"user_id": "ann"}, top_k=100)["results"]
    show("get all", sorted(one["memory"] for one in listed))
    memory.delete(ids["text 1"])
    show("history", [event["event"] for event in memory.history(ids["text 1"])])
    place.count("after deleting one")
    for user in ("ann", "bob"):
        memory.delete_all(user_id=user)


def given_embeddings(place):
    from mcp_server_qdrant.embeddings.base import EmbeddingProvider

    class Given(EmbeddingProvider):
        async def embed_documents(self, documents):
            return [place.vectors[text] for text in documents]

        async def embed_query(self, query):
            return place.vectors[query]

        def get_vector_name(self):
            return ""

        def get_vector_size(self):
            return place.size

    return Given()


def mcp_server(place):
    from mcp_server_qdrant.mcp_server import QdrantMCPServer
    from mcp_server_qdrant.settings import QdrantSettings, ToolSettings

    # The package's own program differs in this alone: it loads an embedding model.
    server = QdrantMCPServer(ToolSettings(), QdrantSettings(), embedding_provider=given_embeddings(place))
    server.run(transport="stdio")


def mcp_tools(place):
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    url, name = place.rest_url, place.name
    # snippet: MCP
    environment = {"QDRANT_URL": url, "COLLECTION_NAME": name}
    # end
    environment |= {**os.environ, **environment, "QDRANT_SEARCH_LIMIT": "5", "QDRANT_ALLOW_ARBITRARY_FILTER": "true"}
    arguments = [__file__, "MCP-SERVER", *sys.argv[2:]]
    parameters = StdioServerParameters(command=sys.executable, args=arguments, env=environment)

    async def steps():
        async with stdio_client(parameters) as streams, ClientSession(*streams) as session:
            await session.initialize()
            show("tools", sorted(tool.name for tool in (await session.list_tools()).tools))

            async def call(tool, **arguments):
                result = await session.call_tool(tool, arguments)
                text = "\n".join(content.text for content in result.content)
                if result.isError:
                    raise RuntimeError(text)
                return text

            for text, metadata in zip(place.texts, place.metadata):
                stored = await call("qdrant-store", information=text, metadata=metadata)
            show("store", stored)
            for step, text, condition in (
                ("find", "text 3", {"key": "metadata.kind", "match": {"value": "new"}}),
                ("filter", "question 1", {"key": "metadata.half", "match": {"value": "even"}}),
            ):
                found = await call("qdrant-find", query=text, query_filter={"must": [condition]})
                entries = re.findall("<content>(.*?)</content>", found)
                if not entries:
                    raise RuntimeError(f"no entries in: {found}")
                show(step, [{"id": entry, "score": 0.0} for entry in entries])

    asyncio.run(steps())
    place.count("after storing")
    place.client.delete(place.name, models.Filter(must=[has("metadata.kind", "new")]), wait=True)


def mcp(place):
    from mcp_server_qdrant.qdrant import Entry, QdrantConnector

    async def steps():
        url, name, provider = place.rest_url, place.name, given_embeddings(place)
        connector = QdrantConnector(url, None, name, provider)
        for text, metadata in zip(place.texts[:6], place.metadata):
            await connector.store(Entry(content=text, metadata=metadata))
        for call, text, condition in (
            ("search", "text 3", has("metadata.kind", "new")),
            ("filter", "question 1", has("metadata.half", "even")),
        ):
            found = await connector.search(text, limit=5, query_filter=models.Filter(must=[condition]))
            show(call, [{"id": entry.content, "score": 0.0} for entry in found])

    asyncio.run(steps())
    place.client.delete(place.name, models.Filter(must=[has("metadata.kind", "new")]), wait=True)


def main(framework, rest_url, _grpc_url, name, data_file):
    with open(data_file) as file:
        place = Place(rest_url, name, json.load(file))
    if framework == "MCP-SERVER":
        mcp_server(place)
        return
    place.count("count before")
    frameworks = {
        "LangChain": langchain,
        "LlamaIndex": llama_index,
        "Haystack": haystack,
        "mem0": mem0,
        "mem0 Memory": mem0_memory,
        "MCP": mcp,
        "MCP tools": mcp_tools,
    }
    frameworks[framework](place)
    place.count("count at the end")


main(*sys.argv[1:])
