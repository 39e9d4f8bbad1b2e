import static io.qdrant.client.ConditionFactory.hasId;
import static io.qdrant.client.ConditionFactory.matchKeyword;
import static io.qdrant.client.ConditionFactory.range;
import static io.qdrant.client.ExpressionFactory.constant;
import static io.qdrant.client.ExpressionFactory.mult;
import static io.qdrant.client.ExpressionFactory.sum;
import static io.qdrant.client.ExpressionFactory.variable;
import static io.qdrant.client.PointIdFactory.id;
import static io.qdrant.client.QueryFactory.context;
import static io.qdrant.client.QueryFactory.discover;
import static io.qdrant.client.QueryFactory.formula;
import static io.qdrant.client.QueryFactory.fusion;
import static io.qdrant.client.QueryFactory.nearest;
import static io.qdrant.client.QueryFactory.orderBy;
import static io.qdrant.client.QueryFactory.recommend;
import static io.qdrant.client.ValueFactory.value;
import static io.qdrant.client.VectorInputFactory.vectorInput;
import static io.qdrant.client.VectorsFactory.vectors;

import com.google.common.util.concurrent.ListenableFuture;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import com.google.protobuf.MessageOrBuilder;
import com.google.protobuf.util.JsonFormat;
import io.grpc.Status;
import io.qdrant.client.QdrantClient;
import io.qdrant.client.QdrantGrpcClient;
import io.qdrant.client.WithPayloadSelectorFactory;
import io.qdrant.client.WithVectorsSelectorFactory;
import io.qdrant.client.grpc.Collections.Distance;
import io.qdrant.client.grpc.Collections.PayloadSchemaType;
import io.qdrant.client.grpc.Collections.VectorParams;
import io.qdrant.client.grpc.Common.Filter;
import io.qdrant.client.grpc.Common.PointId;
import io.qdrant.client.grpc.Common.Range;
import io.qdrant.client.grpc.JsonWithInt.Value;
import io.qdrant.client.grpc.Points.*;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;

/**
 * One flow of calls with the official client for Java. Prints one JSON object per call: its name and its answer.
 *
 * <p>usage: java Flow grpc REST_URL GRPC_URL COLLECTION DATA_FILE
 */
public final class Flow {
  private static final Filter IN_BERN = Filter.newBuilder().addMust(matchKeyword("city", "Bern")).build();
  private static final Filter NEW =
      Filter.newBuilder().addMust(range("n", Range.newBuilder().setGte(1001).build())).build();
  private static final VectorParams SMALL =
      VectorParams.newBuilder().setSize(4).setDistance(Distance.Dot).build();

  private final QdrantClient client;
  private final String name;
  private final List<PointStruct> points = new ArrayList<>();
  private final List<List<Float>> queries = new ArrayList<>();

  private Flow(QdrantClient client, String name, JsonObject data) {
    this.client = client;
    this.name = name;
    for (JsonElement query : data.getAsJsonArray("queries")) queries.add(numbers(query));
    for (JsonElement element : data.getAsJsonArray("points")) {
      JsonObject point = element.getAsJsonObject();
      JsonObject payload = point.getAsJsonObject("payload");
      points.add(
          PointStruct.newBuilder()
              .setId(id(point.get("id").getAsLong()))
              .setVectors(vectors(numbers(point.get("vector"))))
              .putPayload("n", value(payload.get("n").getAsLong()))
              .putPayload("city", value(payload.get("city").getAsString()))
              .build());
    }
  }

  private static List<Float> numbers(JsonElement list) {
    List<Float> values = new ArrayList<>();
    for (JsonElement number : list.getAsJsonArray()) values.add(number.getAsFloat());
    return values;
  }

  /** The answer as JSON has it. */
  private static JsonElement plain(Object answer) throws Exception {
    if (answer instanceof MessageOrBuilder message) {
      return JsonParser.parseString(JsonFormat.printer().includingDefaultValueFields().print(message));
    }
    if (answer instanceof List<?> list) {
      JsonArray items = new JsonArray();
      for (Object item : list) items.add(plain(item));
      return items;
    }
    if (answer instanceof Number number) return new JsonPrimitive(number);
    if (answer instanceof Boolean flag) return new JsonPrimitive(flag);
    return new JsonPrimitive(String.valueOf(answer));
  }

  /** Prints the answer, or the error that the server gave. */
  private static void ask(String call, ListenableFuture<?> asked) throws Exception {
    JsonObject line = new JsonObject();
    line.addProperty("call", call);
    try {
      line.add("answer", plain(asked.get()));
    } catch (ExecutionException failure) {
      Status status = Status.fromThrowable(failure);
      JsonObject error = new JsonObject();
      error.addProperty("error", status.getDescription());
      error.addProperty("status", status.getCode().name());
      line.add("answer", error);
    }
    System.out.println(line);
  }

  /** A collection that the proxy does not serve, and an alias of it. */
  private void otherCollection() throws Exception {
    String other = name + "_other";
    String alias = name + "_alias";
    ask("create another", client.createCollectionAsync(other, SMALL));
    PointStruct one = PointStruct.newBuilder().setId(id(1)).setVectors(vectors(1, 1, 0, 0)).build();
    PointStruct two = PointStruct.newBuilder().setId(id(2)).setVectors(vectors(2, 1, 0, 0)).build();
    ask("upsert to another", client.upsertAsync(other, List.of(one, two)));
    ask("alias of another", client.createAliasAsync(alias, other));
    ask("aliases of another", client.listCollectionAliasesAsync(other));
    QueryPoints query = QueryPoints.newBuilder().setCollectionName(alias).setQuery(nearest(1, 0, 0, 0)).build();
    ask("query by alias", client.queryAsync(query));
    ask("delete alias", client.deleteAliasAsync(alias));
    ask("delete another", client.deleteCollectionAsync(other));
  }

  private QueryPoints.Builder request() {
    return QueryPoints.newBuilder().setCollectionName(name).setLimit(5);
  }

  private void query(String call, QueryPoints.Builder request) throws Exception {
    ask(call, client.queryAsync(request.build()));
  }

  private ListenableFuture<List<ScoredPoint>> search(List<Float> embedding) {
    // snippet: search
    QueryPoints query =
        QueryPoints.newBuilder()
            .setCollectionName(name).setQuery(nearest(embedding)).setLimit(10).build();
    ListenableFuture<List<ScoredPoint>> found = client.queryAsync(query);
    // end
    return found;
  }

  private void searches() throws Exception {
    ask("query", search(queries.get(0)));
    QueryPoints.Builder filtered = request().setQuery(nearest(queries.get(1))).setFilter(IN_BERN);
    query("filter and payload", filtered.setWithPayload(WithPayloadSelectorFactory.include(List.of("city"))));
    query("offset and threshold", request().setQuery(nearest(queries.get(2))).setOffset(3).setScoreThreshold(-1));
    SearchParams exact = SearchParams.newBuilder().setExact(true).build();
    query("exact", request().setQuery(nearest(queries.get(2))).setParams(exact));
    QueryPoints.Builder some = request().setQuery(nearest(queries.get(3))).setLimit(2);
    query("with vectors", some.setWithVectors(WithVectorsSelectorFactory.enable(true)));
    query("by id", request().setQuery(nearest(7)));
    for (RecommendStrategy strategy :
        List.of(RecommendStrategy.AverageVector, RecommendStrategy.BestScore, RecommendStrategy.SumScores)) {
      RecommendInput examples =
          RecommendInput.newBuilder()
              .addPositive(vectorInput(3))
              .addPositive(vectorInput(queries.get(4)))
              .addNegative(vectorInput(5))
              .setStrategy(strategy)
              .build();
      query("recommend " + strategy, request().setQuery(recommend(examples)));
    }
    ContextInput pairs =
        ContextInput.newBuilder()
            .addPairs(
                ContextInputPair.newBuilder().setPositive(vectorInput(4)).setNegative(vectorInput(queries.get(5))))
            .build();
    DiscoverInput target =
        DiscoverInput.newBuilder().setTarget(vectorInput(queries.get(6))).setContext(pairs).build();
    query("discover", request().setQuery(discover(target)));
    query("context", request().setQuery(context(pairs)).setLimit(500));
    stages();
  }

  private void stages() throws Exception {
    PrefetchQuery first = PrefetchQuery.newBuilder().setQuery(nearest(queries.get(0))).setLimit(20).build();
    PrefetchQuery second = PrefetchQuery.newBuilder().setQuery(nearest(queries.get(1))).setLimit(20).build();
    List<PrefetchQuery> both = List.of(first, second);
    query("prefetch", request().addAllPrefetch(both).setQuery(nearest(queries.get(7))));
    for (Fusion fusion : List.of(Fusion.RRF, Fusion.DBSF)) {
      query("fusion " + fusion, request().addAllPrefetch(both).setQuery(fusion(fusion)));
    }
    Expression higher =
        mult(MultExpression.newBuilder().addMult(constant(0.01f)).addMult(variable("n")).build());
    Expression total = sum(SumExpression.newBuilder().addSum(variable("$score")).addSum(higher).build());
    query(
        "formula",
        request().addPrefetch(first).setQuery(formula(Formula.newBuilder().setExpression(total).build())));
    Mmr mmr = Mmr.newBuilder().setDiversity(0.5f).setCandidatesLimit(50).build();
    query("diversity", request().setQuery(nearest(vectorInput(queries.get(2)), mmr)));
    query("order by", request().setQuery(orderBy("n")).setWithPayload(WithPayloadSelectorFactory.enable(true)));
    List<QueryPoints> batch = new ArrayList<>();
    for (List<Float> vector : queries.subList(0, 3)) {
      batch.add(request().setQuery(nearest(vector)).setLimit(3).build());
    }
    ask("batch", client.queryBatchAsync(name, batch));
    QueryPointGroups groups =
        QueryPointGroups.newBuilder()
            .setCollectionName(name)
            .setQuery(nearest(queries.get(0)))
            .setGroupBy("city")
            .setLimit(3)
            .setGroupSize(2)
            .build();
    ask("groups", client.queryGroupsAsync(groups));
  }

  private ScrollPoints.Builder scroll() {
    return ScrollPoints.newBuilder()
        .setCollectionName(name)
        .setWithPayload(WithPayloadSelectorFactory.enable(true))
        .setWithVectors(WithVectorsSelectorFactory.enable(true));
  }

  private void reads() throws Exception {
    ask("information", client.getCollectionInfoAsync(name));
    ask("exists", client.collectionExistsAsync(name));
    ask("count", client.countAsync(name));
    ask("count some", client.countAsync(name, IN_BERN, true));
    FacetCounts facet = FacetCounts.newBuilder().setCollectionName(name).setKey("city").setExact(true).build();
    ask("facet", client.facetAsync(facet));
    ask("scroll", client.scrollAsync(scroll().setLimit(4).build()));
    OrderBy order = OrderBy.newBuilder().setKey("n").build();
    ask("scroll in order", client.scrollAsync(scroll().setLimit(4).setFilter(IN_BERN).setOrderBy(order).build()));
    ask("retrieve", client.retrieveAsync(name, List.of(id(2), id(1001)), true, true, null));
  }

  /** Prints what a change answered, and the changed points. */
  private void change(String call, ListenableFuture<?> asked) throws Exception {
    ask(call, asked);
    List<PointId> ids = points.subList(0, 6).stream().map(PointStruct::getId).toList();
    Filter changed = Filter.newBuilder().addMust(hasId(ids)).build();
    ask("after: " + call, client.scrollAsync(scroll().setFilter(changed).build()));
  }

  private void writes() throws Exception {
    Map<String, Value> nested = Map.of("a", value(Map.of("b", value(1))));
    change("set payload", client.setPayloadAsync(name, nested, id(1001), true, null, null));
    Map<String, Value> other = Map.of("n", value(5));
    change("overwrite payload", client.overwritePayloadAsync(name, other, id(1003), true, null, null));
    change("delete payload", client.deletePayloadAsync(name, List.of("city"), id(1004), true, null, null));
    change("clear payload", client.clearPayloadAsync(name, id(1005), true, null, null));
    PointVectors moved =
        PointVectors.newBuilder().setId(id(1001)).setVectors(points.get(7).getVectors()).build();
    change("update vectors", client.updateVectorsAsync(name, List.of(moved)));
    change("delete vectors", client.deleteVectorsAsync(name, List.of(""), List.of(id(1002))));
    PointsUpdateOperation upsert =
        PointsUpdateOperation.newBuilder()
            .setUpsert(PointsUpdateOperation.PointStructList.newBuilder().addPoints(points.get(1)))
            .build();
    PointsSelector sixth =
        PointsSelector.newBuilder().setPoints(PointsIdsList.newBuilder().addIds(id(1006))).build();
    PointsUpdateOperation delete =
        PointsUpdateOperation.newBuilder()
            .setDeletePoints(PointsUpdateOperation.DeletePoints.newBuilder().setPoints(sixth))
            .build();
    change("batch of updates", client.batchUpdateAsync(name, List.of(upsert, delete), true, null, null));
  }

  private void errors() throws Exception {
    List<Float> few = List.of(0.5f, 0.5f);
    query("a query too short", request().setQuery(nearest(few)));
    PointStruct point = PointStruct.newBuilder().setId(id(9999)).setVectors(vectors(few)).build();
    ask("a point too short", client.upsertAsync(name, List.of(point)));
    query("no such vector", request().setQuery(nearest(few)).setUsing("missing"));
    query("no such point", request().setQuery(nearest(999_999)));
    ask("no such collection", client.countAsync(name + "_missing"));
    ask("create it again", client.createCollectionAsync(name, SMALL));
  }

  private void all() throws Exception {
    otherCollection();
    ask("index city", index("city", PayloadSchemaType.Keyword));
    ask("index n", index("n", PayloadSchemaType.Integer));
    // snippet: write
    ListenableFuture<UpdateResult> written = client.upsertAsync(name, points); // points with full vectors
    // end
    ask("upsert", written);
    reads();
    searches();
    writes();
    errors();
    List<PointId> ids = points.subList(0, 8).stream().map(PointStruct::getId).toList();
    ask("delete by ids", client.deleteAsync(name, ids));
    ask("delete by filter", client.deleteAsync(name, NEW));
    for (String field : List.of("city", "n")) {
      ask("no index " + field, client.deletePayloadIndexAsync(name, field, true, null, null));
    }
    ask("count at the end", client.countAsync(name));
  }

  private ListenableFuture<UpdateResult> index(String field, PayloadSchemaType type) {
    return client.createPayloadIndexAsync(name, field, type, null, true, null, null);
  }

  public static void main(String[] args) throws Exception {
    URI address = URI.create(args[2]);
    String host = address.getHost();
    int port = address.getPort();
    JsonObject data = JsonParser.parseString(Files.readString(Path.of(args[4]))).getAsJsonObject();
    // snippet: gRPC
    boolean tls = false;
    QdrantClient client = new QdrantClient(QdrantGrpcClient.newBuilder(host, port, tls).build()); // localhost, 6434
    // end
    new Flow(client, args[3], data).all();
    client.close();
  }
}
