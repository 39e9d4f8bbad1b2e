"""One flow of calls with the official client for Python. Prints one JSON object per call: its name and its answer.

usage: python flow.py rest|grpc|async-rest|async-grpc REST_URL GRPC_URL COLLECTION DATA_FILE
"""

import asyncio
import inspect
import json
import sys
from urllib.parse import urlsplit

import grpc
from qdrant_client import AsyncQdrantClient, QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse


def plain(answer):
    """The answer as JSON has it."""
    if isinstance(answer, (list, tuple)):
        return [plain(item) for item in answer]
    return answer.model_dump(mode="json", exclude_none=True) if hasattr(answer, "model_dump") else answer


async def ask(call, request):
    """Prints the answer, or the error that the server gave. `request` is a function that sends the request."""
    try:
        answer = request()
        answer = plain(await answer if inspect.isawaitable(answer) else answer)
    except UnexpectedResponse as error:
        message = json.loads(error.content)["status"]["error"]
        answer = {"error": message, "status": error.status_code}
    except grpc.RpcError as error:
        answer = {"error": error.details(), "status": error.code().name}
    print(json.dumps({"call": call, "answer": answer}), flush=True)


def connect(mode, rest_url, grpc_url):
    host, rest_port, grpc_port = urlsplit(rest_url).hostname, urlsplit(rest_url).port, urlsplit(grpc_url).port
    if mode == "rest":
        # snippet: REST
        client = QdrantClient(url=rest_url, timeout=300)  # http://localhost:6433
        # end
    elif mode == "grpc":
        # snippet: gRPC
        client = QdrantClient(host=host, port=rest_port, grpc_port=grpc_port, prefer_grpc=True, timeout=300)
        # end
    elif mode == "async-rest":
        # snippet: async
        client = AsyncQdrantClient(url=rest_url, timeout=300)  # or host, port, grpc_port and prefer_grpc, as above
        # end
    else:
        client = AsyncQdrantClient(host=host, port=rest_port, grpc_port=grpc_port, prefer_grpc=True, timeout=300)
    return client


def new_points(data):
    return [models.PointStruct(**point) for point in data["points"]]


NEW = models.Filter(must=[models.FieldCondition(key="n", range=models.Range(gte=1001))])
IN_BERN = models.Filter(must=[models.FieldCondition(key="city", match=models.MatchValue(value="Bern"))])


async def other_collection(client, name):
    """A collection that the proxy does not serve, and aliases of it."""
    other, alias = f"{name}_other", f"{name}_alias"
    size = models.VectorParams(size=4, distance=models.Distance.DOT)
    await ask("create another", lambda: client.create_collection(other, vectors_config=size))
    points = [models.PointStruct(id=i, vector=[i, 1, 0, 0], payload={"n": i}) for i in (1, 2, 3)]
    await ask("upsert to another", lambda: client.upsert(other, points, wait=True))
    create = models.CreateAlias(collection_name=other, alias_name=alias)
    add = [models.CreateAliasOperation(create_alias=create)]
    await ask("alias of another", lambda: client.update_collection_aliases(add))
    await ask("aliases of another", lambda: client.get_collection_aliases(other))
    await ask("query by alias", lambda: client.query_points(alias, query=[1.0, 0.0, 0.0, 0.0], limit=2))
    drop = [models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))]
    await ask("delete alias", lambda: client.update_collection_aliases(drop))
    await ask("delete another", lambda: client.delete_collection(other))


async def searches(client, name, queries):
    def query(call, **request):
        return ask(call, lambda: client.query_points(name, **request))

    # snippet: search
    def search(embedding):
        return client.query_points(name, query=embedding, limit=10)  # with an async client: await it
    # end

    await ask("query", lambda: search(queries[0]))
    await query("filter and payload", query=queries[1], query_filter=IN_BERN, with_payload=["city"], limit=5)
    await query("offset and threshold", query=queries[2], limit=5, offset=3, score_threshold=-1.0)
    await query("exact", query=queries[2], limit=5, search_params=models.SearchParams(exact=True))
    await query("with vectors", query=queries[3], limit=2, with_vectors=True)
    await query("by id", query=7, limit=5)
    for strategy in models.RecommendStrategy:
        examples = models.RecommendInput(positive=[3, queries[4]], negative=[5], strategy=strategy)
        await query(f"recommend {strategy.value}", query=models.RecommendQuery(recommend=examples), limit=5)
    pair = models.ContextPair(positive=4, negative=queries[5])
    await query(
        "discover",
        query=models.DiscoverQuery(discover=models.DiscoverInput(target=queries[6], context=[pair])),
        limit=5,
    )
    await query("context", query=models.ContextQuery(context=[pair]), limit=500)
    nearest = [models.Prefetch(query=queries[i], limit=20) for i in (0, 1)]
    await query("prefetch", prefetch=nearest, query=queries[7], limit=5)
    for fusion in models.Fusion:
        await query(f"fusion {fusion.value}", prefetch=nearest, query=models.FusionQuery(fusion=fusion), limit=5)
    formula = models.SumExpression(sum=["$score", models.MultExpression(mult=[0.01, "n"])])
    await query("formula", prefetch=nearest[0], query=models.FormulaQuery(formula=formula), limit=5)
    diverse = models.NearestQuery(nearest=queries[2], mmr=models.Mmr(diversity=0.5, candidates_limit=50))
    await query("diversity", query=diverse, limit=5)
    await query("order by", query=models.OrderByQuery(order_by="n"), limit=5, with_payload=True)
    batch = [models.QueryRequest(query=vector, limit=3) for vector in queries[:3]]
    await ask("batch", lambda: client.query_batch_points(name, batch))
    await ask(
        "groups",
        lambda: client.query_points_groups(name, query=queries[0], group_by="city", limit=3, group_size=2),
    )


async def reads(client, name):
    await ask("information", lambda: client.get_collection(name))
    await ask("exists", lambda: client.collection_exists(name))
    await ask("count", lambda: client.count(name, exact=True))
    await ask("count some", lambda: client.count(name, count_filter=IN_BERN))
    await ask("facet", lambda: client.facet(name, key="city", exact=True))
    await ask("scroll", lambda: client.scroll(name, limit=4, with_vectors=True))
    await ask("scroll in order", lambda: client.scroll(name, limit=4, order_by="n", scroll_filter=IN_BERN))
    await ask("retrieve", lambda: client.retrieve(name, [2, 1001], with_vectors=True))


async def writes(client, name, points):
    """Changes the new points in every way and reads them after each."""

    async def change(call, request):
        await ask(call, request)
        await ask(
            f"after: {call}",
            lambda: client.scroll(name, scroll_filter=changed, limit=100, with_vectors=True),
        )

    ids = [point.id for point in points[:6]]
    changed = models.Filter(must=[models.HasIdCondition(has_id=ids)])
    await change("set payload", lambda: client.set_payload(name, {"a": {"b": 1}}, points=ids[:2], wait=True))
    await change("overwrite payload", lambda: client.overwrite_payload(name, {"n": 5}, points=ids[2:3], wait=True))
    await change("delete payload", lambda: client.delete_payload(name, ["city"], points=ids[3:4], wait=True))
    await change("clear payload", lambda: client.clear_payload(name, ids[4:5], wait=True))
    moved = [models.PointVectors(id=ids[0], vector=points[7].vector)]
    await change("update vectors", lambda: client.update_vectors(name, moved, wait=True))
    await change("delete vectors", lambda: client.delete_vectors(name, [""], ids[1:2], wait=True))
    operations = [
        models.UpsertOperation(upsert=models.PointsList(points=points[1:2])),
        models.SetPayloadOperation(set_payload=models.SetPayload(payload={"c": 1.5}, points=ids[1:2])),
        models.DeleteOperation(delete=models.PointIdsList(points=ids[5:6])),
    ]
    await change("batch of updates", lambda: client.batch_update_points(name, operations, wait=True))


async def errors(client, name):
    await ask("a query too short", lambda: client.query_points(name, query=[0.5, 0.5], limit=3))
    short = [models.PointStruct(id=9999, vector=[0.5, 0.5])]
    await ask("a point too short", lambda: client.upsert(name, short, wait=True))
    await ask("no such vector", lambda: client.query_points(name, query=[0.5], using="missing", limit=3))
    await ask("no such point", lambda: client.query_points(name, query=999_999, limit=3))
    await ask("no such collection", lambda: client.count(f"{name}_missing"))
    size = models.VectorParams(size=4, distance=models.Distance.DOT)
    await ask("create it again", lambda: client.create_collection(name, vectors_config=size))


async def flow(client, name, data):
    points = new_points(data)
    await other_collection(client, name)
    for field, schema in (("city", "keyword"), ("n", "integer")):
        await ask(f"index {field}", lambda: client.create_payload_index(name, field, schema, wait=True))
    # snippet: write
    def write(points):
        return client.upsert(name, points, wait=True)  # PointStructs with full vectors
    # end
    await ask("upsert", lambda: write(points))
    await reads(client, name)
    await searches(client, name, data["queries"])
    await writes(client, name, points)
    await errors(client, name)
    await ask("delete by ids", lambda: client.delete(name, [point.id for point in points[:8]], wait=True))
    await ask("delete by filter", lambda: client.delete(name, NEW, wait=True))
    for field in ("city", "n"):
        await ask(f"no index {field}", lambda: client.delete_payload_index(name, field, wait=True))
    await ask("count at the end", lambda: client.count(name, exact=True))


async def main(mode, rest_url, grpc_url, name, data_file):
    with open(data_file) as file:
        data = json.load(file)
    client = connect(mode, rest_url, grpc_url)
    await flow(client, name, data)
    closed = client.close()
    if inspect.isawaitable(closed):
        await closed


asyncio.run(main(*sys.argv[1:]))
