"""The vector stores of Python frameworks: insert, search, filter, diversify, delete. Prints one JSON object per step.

usage: python frameworks.py FRAMEWORK REST_URL GRPC_URL COLLECTION DATA_FILE
"""

import asyncio
import json
import os
import sys
import uuid

from qdrant_client import QdrantClient, models

# None of them reports to anybody while the tests run.
os.environ.update(MEM0_TELEMETRY="False", HAYSTACK_TELEMETRY_ENABLED="False")


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


def mcp(place):
    from mcp_server_qdrant.embeddings.base import EmbeddingProvider
    from mcp_server_qdrant.qdrant import Entry, QdrantConnector

    class Given(EmbeddingProvider):
        async def embed_documents(self, documents):
            return [place.vectors[text] for text in documents]

        async def embed_query(self, query):
            return place.vectors[query]

        def get_vector_name(self):
            return ""

        def get_vector_size(self):
            return place.size

    async def steps():
        url, name, provider = place.rest_url, place.name, Given()
        # snippet: MCP
        connector = QdrantConnector(url, None, name, provider)  # or QDRANT_URL and COLLECTION_NAME of the server
        # end
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
    place.count("count before")
    frameworks = {"LangChain": langchain, "LlamaIndex": llama_index, "Haystack": haystack, "mem0": mem0, "MCP": mcp}
    frameworks[framework](place)
    place.count("count at the end")


main(*sys.argv[1:])
