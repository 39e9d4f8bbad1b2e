// One flow of calls with the official client for Go. Prints one JSON object per call: its name and its answer.
//
// usage: flow grpc REST_URL GRPC_URL COLLECTION DATA_FILE
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"strconv"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

type point struct {
	ID      uint64         `json:"id"`
	Vector  []float32      `json:"vector"`
	Payload map[string]any `json:"payload"`
}

type data struct {
	Points  []point     `json:"points"`
	Queries [][]float32 `json:"queries"`
}

type flow struct {
	ctx    context.Context
	client *qdrant.Client
	name   string
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// plain returns an answer as JSON has it.
func plain(answer any) any {
	if message, ok := answer.(proto.Message); ok {
		text, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(message)
		check(err)
		return json.RawMessage(text)
	}
	value := reflect.ValueOf(answer)
	if value.Kind() != reflect.Slice {
		return answer
	}
	items := []any{}
	for i := range value.Len() {
		items = append(items, plain(value.Index(i).Interface()))
	}
	return items
}

// ask prints the answer, or the error that the server gave.
func ask[T any](call string, answer T, err error) {
	line := map[string]any{"call": call, "answer": plain(answer)}
	if err != nil {
		line["answer"] = map[string]any{"error": err.Error()}
	}
	text, err := json.Marshal(line)
	check(err)
	fmt.Println(string(text))
}

// done is for calls that answer nothing but an error.
func done(call string, err error) { ask(call, true, err) }

func connect(grpcURL string) *qdrant.Client {
	address, err := url.Parse(grpcURL)
	check(err)
	host := address.Hostname()
	port, err := strconv.Atoi(address.Port())
	check(err)
	// snippet: gRPC
	client, err := qdrant.NewClient(&qdrant.Config{Host: host, Port: port}) // localhost, 6434
	// end
	check(err)
	return client
}

func structs(points []point) []*qdrant.PointStruct {
	list := []*qdrant.PointStruct{}
	for _, one := range points {
		payload := map[string]any{"n": int64(one.Payload["n"].(float64)), "city": one.Payload["city"]}
		list = append(list, &qdrant.PointStruct{
			Id: qdrant.NewIDNum(one.ID), Vectors: qdrant.NewVectorsDense(one.Vector), Payload: qdrant.NewValueMap(payload),
		})
	}
	return list
}

var (
	wait   = qdrant.PtrOf(true)
	isNew  = &qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewRange("n", &qdrant.Range{Gte: qdrant.PtrOf(1001.0)})}}
	inBern = &qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewMatch("city", "Bern")}}
)

func limit(n uint64) *uint64 { return &n }

// otherCollection is one that the proxy does not serve, and an alias of it.
func (f flow) otherCollection() {
	other, alias := f.name+"_other", f.name+"_alias"
	config := qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: 4, Distance: qdrant.Distance_Dot})
	done("create another", f.client.CreateCollection(f.ctx, &qdrant.CreateCollection{CollectionName: other, VectorsConfig: config}))
	points := []*qdrant.PointStruct{
		{Id: qdrant.NewIDNum(1), Vectors: qdrant.NewVectors(1, 1, 0, 0)},
		{Id: qdrant.NewIDNum(2), Vectors: qdrant.NewVectors(2, 1, 0, 0)},
	}
	result, err := f.client.Upsert(f.ctx, &qdrant.UpsertPoints{CollectionName: other, Points: points, Wait: wait})
	ask("upsert to another", result, err)
	done("alias of another", f.client.CreateAlias(f.ctx, alias, other))
	aliases, err := f.client.ListCollectionAliases(f.ctx, other)
	ask("aliases of another", aliases, err)
	found, err := f.client.Query(f.ctx, &qdrant.QueryPoints{CollectionName: alias, Query: qdrant.NewQuery(1, 0, 0, 0)})
	ask("query by alias", found, err)
	done("delete alias", f.client.DeleteAlias(f.ctx, alias))
	done("delete another", f.client.DeleteCollection(f.ctx, other))
}

func (f flow) query(call string, request *qdrant.QueryPoints) {
	request.CollectionName = f.name
	if request.Limit == nil {
		request.Limit = limit(5)
	}
	found, err := f.client.Query(f.ctx, request)
	ask(call, found, err)
}

func (f flow) search(embedding []float32) ([]*qdrant.ScoredPoint, error) {
	client, ctx, name := f.client, f.ctx, f.name
	// snippet: search
	found, err := client.Query(ctx, &qdrant.QueryPoints{
		CollectionName: name, Query: qdrant.NewQueryDense(embedding), Limit: qdrant.PtrOf(uint64(10)),
	})
	// end
	return found, err
}

func (f flow) searches(queries [][]float32) {
	found, err := f.search(queries[0])
	ask("query", found, err)
	dense := qdrant.NewQueryDense
	f.query("filter and payload", &qdrant.QueryPoints{Query: dense(queries[1]), Filter: inBern, WithPayload: qdrant.NewWithPayloadInclude("city")})
	f.query("offset and threshold", &qdrant.QueryPoints{Query: dense(queries[2]), Offset: limit(3), ScoreThreshold: qdrant.PtrOf(float32(-1))})
	f.query("exact", &qdrant.QueryPoints{Query: dense(queries[2]), Params: &qdrant.SearchParams{Exact: wait}})
	f.query("with vectors", &qdrant.QueryPoints{Query: dense(queries[3]), Limit: limit(2), WithVectors: qdrant.NewWithVectors(true)})
	f.query("by id", &qdrant.QueryPoints{Query: qdrant.NewQueryID(qdrant.NewIDNum(7))})
	for _, strategy := range []qdrant.RecommendStrategy{
		qdrant.RecommendStrategy_AverageVector, qdrant.RecommendStrategy_BestScore, qdrant.RecommendStrategy_SumScores,
	} {
		f.query("recommend "+strategy.String(), &qdrant.QueryPoints{Query: qdrant.NewQueryRecommend(&qdrant.RecommendInput{
			Positive: []*qdrant.VectorInput{qdrant.NewVectorInputID(qdrant.NewIDNum(3)), qdrant.NewVectorInputDense(queries[4])},
			Negative: []*qdrant.VectorInput{qdrant.NewVectorInputID(qdrant.NewIDNum(5))},
			Strategy: &strategy,
		})})
	}
	pairs := &qdrant.ContextInput{Pairs: []*qdrant.ContextInputPair{{
		Positive: qdrant.NewVectorInputID(qdrant.NewIDNum(4)), Negative: qdrant.NewVectorInputDense(queries[5]),
	}}}
	f.query("discover", &qdrant.QueryPoints{Query: qdrant.NewQueryDiscover(&qdrant.DiscoverInput{
		Target: qdrant.NewVectorInputDense(queries[6]), Context: pairs,
	})})
	f.query("context", &qdrant.QueryPoints{Query: qdrant.NewQueryContext(pairs), Limit: limit(500)})
	nearest := []*qdrant.PrefetchQuery{
		{Query: dense(queries[0]), Limit: limit(20)}, {Query: dense(queries[1]), Limit: limit(20)},
	}
	f.query("prefetch", &qdrant.QueryPoints{Prefetch: nearest, Query: dense(queries[7])})
	for _, fusion := range []qdrant.Fusion{qdrant.Fusion_RRF, qdrant.Fusion_DBSF} {
		f.query("fusion "+fusion.String(), &qdrant.QueryPoints{Prefetch: nearest, Query: qdrant.NewQueryFusion(fusion)})
	}
	f.query("formula", &qdrant.QueryPoints{Prefetch: nearest[:1], Query: qdrant.NewQueryFormula(&qdrant.Formula{
		Expression: qdrant.NewExpressionSum(&qdrant.SumExpression{Sum: []*qdrant.Expression{
			qdrant.NewExpressionVariable("$score"),
			qdrant.NewExpressionMult(&qdrant.MultExpression{Mult: []*qdrant.Expression{
				qdrant.NewExpressionConstant(0.01), qdrant.NewExpressionVariable("n"),
			}}),
		}}),
	})})
	f.query("diversity", &qdrant.QueryPoints{Query: qdrant.NewQueryMMR(qdrant.NewVectorInputDense(queries[2]), &qdrant.Mmr{
		Diversity: qdrant.PtrOf(float32(0.5)), CandidatesLimit: qdrant.PtrOf(uint32(50)),
	})})
	f.query("order by", &qdrant.QueryPoints{Query: qdrant.NewQueryOrderBy(&qdrant.OrderBy{Key: "n"}), WithPayload: qdrant.NewWithPayload(true)})
	batch := []*qdrant.QueryPoints{}
	for _, vector := range queries[:3] {
		batch = append(batch, &qdrant.QueryPoints{CollectionName: f.name, Query: dense(vector), Limit: limit(3)})
	}
	results, err := f.client.QueryBatch(f.ctx, &qdrant.QueryBatchPoints{CollectionName: f.name, QueryPoints: batch})
	ask("batch", results, err)
	groups, err := f.client.QueryGroups(f.ctx, &qdrant.QueryPointGroups{
		CollectionName: f.name, Query: dense(queries[0]), GroupBy: "city", Limit: limit(3), GroupSize: limit(2),
	})
	ask("groups", groups, err)
}

func (f flow) reads() {
	information, err := f.client.GetCollectionInfo(f.ctx, f.name)
	ask("information", information, err)
	exists, err := f.client.CollectionExists(f.ctx, f.name)
	ask("exists", exists, err)
	f.count("count", nil)
	f.count("count some", inBern)
	hits, err := f.client.Facet(f.ctx, &qdrant.FacetCounts{CollectionName: f.name, Key: "city", Exact: wait})
	ask("facet", hits, err)
	four := qdrant.PtrOf(uint32(4))
	f.scroll("scroll", &qdrant.ScrollPoints{Limit: four, WithVectors: qdrant.NewWithVectors(true)})
	f.scroll("scroll in order", &qdrant.ScrollPoints{Limit: four, Filter: inBern, OrderBy: &qdrant.OrderBy{Key: "n"}})
	points, err := f.client.Get(f.ctx, &qdrant.GetPoints{
		CollectionName: f.name, Ids: []*qdrant.PointId{qdrant.NewIDNum(2), qdrant.NewIDNum(1001)},
		WithVectors: qdrant.NewWithVectors(true), WithPayload: qdrant.NewWithPayload(true),
	})
	ask("retrieve", points, err)
}

func (f flow) count(call string, filter *qdrant.Filter) {
	count, err := f.client.Count(f.ctx, &qdrant.CountPoints{CollectionName: f.name, Filter: filter, Exact: wait})
	ask(call, count, err)
}

func (f flow) scroll(call string, request *qdrant.ScrollPoints) {
	request.CollectionName = f.name
	points, next, err := f.client.ScrollAndOffset(f.ctx, request)
	ask(call, points, err)
	ask(call+", next", next, err)
}

// writes changes the new points in every way and reads them after each.
func (f flow) writes(points []*qdrant.PointStruct) {
	ids := []*qdrant.PointId{}
	for _, one := range points[:6] {
		ids = append(ids, one.Id)
	}
	read := func(call string) {
		filter := &qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewHasID(ids...)}}
		f.scroll("after: "+call, &qdrant.ScrollPoints{Filter: filter, WithVectors: qdrant.NewWithVectors(true)})
	}
	change := func(call string, result *qdrant.UpdateResult, err error) {
		ask(call, result, err)
		read(call)
	}
	some := qdrant.NewPointsSelector
	set := func(payload map[string]any, id *qdrant.PointId) *qdrant.SetPayloadPoints {
		return &qdrant.SetPayloadPoints{CollectionName: f.name, Wait: wait, Payload: qdrant.NewValueMap(payload), PointsSelector: some(id)}
	}
	result, err := f.client.SetPayload(f.ctx, set(map[string]any{"a": map[string]any{"b": 1}}, ids[0]))
	change("set payload", result, err)
	result, err = f.client.OverwritePayload(f.ctx, set(map[string]any{"n": 5}, ids[2]))
	change("overwrite payload", result, err)
	result, err = f.client.DeletePayload(f.ctx, &qdrant.DeletePayloadPoints{
		CollectionName: f.name, Wait: wait, Keys: []string{"city"}, PointsSelector: some(ids[3]),
	})
	change("delete payload", result, err)
	result, err = f.client.ClearPayload(f.ctx, &qdrant.ClearPayloadPoints{CollectionName: f.name, Wait: wait, Points: some(ids[4])})
	change("clear payload", result, err)
	result, err = f.client.UpdateVectors(f.ctx, &qdrant.UpdatePointVectors{
		CollectionName: f.name, Wait: wait, Points: []*qdrant.PointVectors{{Id: ids[0], Vectors: points[7].Vectors}},
	})
	change("update vectors", result, err)
	result, err = f.client.DeleteVectors(f.ctx, &qdrant.DeletePointVectors{
		CollectionName: f.name, Wait: wait, PointsSelector: some(ids[1]), Vectors: &qdrant.VectorsSelector{Names: []string{""}},
	})
	change("delete vectors", result, err)
	results, err := f.client.UpdateBatch(f.ctx, &qdrant.UpdateBatchPoints{CollectionName: f.name, Wait: wait, Operations: []*qdrant.PointsUpdateOperation{
		qdrant.NewPointsUpdateUpsert(&qdrant.PointsUpdateOperation_PointStructList{Points: points[1:2]}),
		qdrant.NewPointsUpdateDeletePoints(&qdrant.PointsUpdateOperation_DeletePoints{Points: some(ids[5])}),
	}})
	ask("batch of updates", results, err)
	read("batch of updates")
}

func (f flow) errors() {
	short := []float32{0.5, 0.5}
	f.query("a query too short", &qdrant.QueryPoints{Query: qdrant.NewQueryDense(short)})
	points := []*qdrant.PointStruct{{Id: qdrant.NewIDNum(9999), Vectors: qdrant.NewVectorsDense(short)}}
	result, err := f.client.Upsert(f.ctx, &qdrant.UpsertPoints{CollectionName: f.name, Points: points, Wait: wait})
	ask("a point too short", result, err)
	f.query("no such vector", &qdrant.QueryPoints{Query: qdrant.NewQueryDense(short), Using: qdrant.PtrOf("missing")})
	f.query("no such point", &qdrant.QueryPoints{Query: qdrant.NewQueryID(qdrant.NewIDNum(999_999))})
	count, err := f.client.Count(f.ctx, &qdrant.CountPoints{CollectionName: f.name + "_missing"})
	ask("no such collection", count, err)
	config := qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: 4, Distance: qdrant.Distance_Dot})
	done("create it again", f.client.CreateCollection(f.ctx, &qdrant.CreateCollection{CollectionName: f.name, VectorsConfig: config}))
}

func (f flow) upsert(points []*qdrant.PointStruct) (*qdrant.UpdateResult, error) {
	client, ctx, name := f.client, f.ctx, f.name
	// snippet: write
	result, err := client.Upsert(ctx, &qdrant.UpsertPoints{
		CollectionName: name, Points: points, Wait: qdrant.PtrOf(true), // points with full vectors
	})
	// end
	return result, err
}

func (f flow) all(file data) {
	points := structs(file.Points)
	f.otherCollection()
	fields := map[string]qdrant.FieldType{"city": qdrant.FieldType_FieldTypeKeyword, "n": qdrant.FieldType_FieldTypeInteger}
	for _, field := range []string{"city", "n"} {
		result, err := f.client.CreateFieldIndex(f.ctx, &qdrant.CreateFieldIndexCollection{
			CollectionName: f.name, FieldName: field, FieldType: qdrant.PtrOf(fields[field]), Wait: wait,
		})
		ask("index "+field, result, err)
	}
	result, err := f.upsert(points)
	ask("upsert", result, err)
	f.reads()
	f.searches(file.Queries)
	f.writes(points)
	f.errors()
	ids := []*qdrant.PointId{}
	for _, one := range points[:8] {
		ids = append(ids, one.Id)
	}
	result, err = f.client.Delete(f.ctx, &qdrant.DeletePoints{CollectionName: f.name, Points: qdrant.NewPointsSelectorIDs(ids), Wait: wait})
	ask("delete by ids", result, err)
	result, err = f.client.Delete(f.ctx, &qdrant.DeletePoints{CollectionName: f.name, Points: qdrant.NewPointsSelectorFilter(isNew), Wait: wait})
	ask("delete by filter", result, err)
	for _, field := range []string{"city", "n"} {
		result, err := f.client.DeleteFieldIndex(f.ctx, &qdrant.DeleteFieldIndexCollection{CollectionName: f.name, FieldName: field, Wait: wait})
		ask("no index "+field, result, err)
	}
	f.count("count at the end", nil)
}

func main() {
	grpcURL, name, file := os.Args[3], os.Args[4], data{}
	text, err := os.ReadFile(os.Args[5])
	check(err)
	check(json.Unmarshal(text, &file))
	client := connect(grpcURL)
	flow{context.Background(), client, name}.all(file)
	check(client.Close())
}
