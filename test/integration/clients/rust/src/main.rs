//! One flow of calls with the official client for Rust. Prints one JSON object per call: its name, the message that
//! answered, and the message's bytes.
//!
//! usage: flow grpc REST_URL GRPC_URL COLLECTION DATA_FILE

use prost::Message;
use qdrant_client::qdrant::{
    points_update_operation::{DeletePoints, Operation, PointStructList},
    ClearPayloadPointsBuilder, Condition, ContextInputBuilder, ContextInputPairBuilder, CountPointsBuilder,
    CreateAliasBuilder, CreateCollectionBuilder, CreateFieldIndexCollectionBuilder, DeleteFieldIndexCollectionBuilder,
    DeletePayloadPointsBuilder, DeletePointVectorsBuilder, DeletePointsBuilder, DiscoverInputBuilder, Distance,
    Expression, FacetCountsBuilder, FieldType, Filter, FormulaBuilder, Fusion, GetPointsBuilder, MmrBuilder,
    OrderByBuilder, PointId, PointStruct, PointVectors, PointsSelector, PointsUpdateOperation, PrefetchQueryBuilder,
    Query, QueryBatchPointsBuilder, QueryPointGroupsBuilder, QueryPointsBuilder, QueryResponse, Range,
    RecommendInputBuilder, RecommendStrategy, ScrollPointsBuilder, SearchParamsBuilder, SetPayloadPointsBuilder,
    UpdateBatchPointsBuilder, UpdatePointVectorsBuilder, UpsertPointsBuilder, VectorInput, VectorParamsBuilder,
    VectorsSelector,
};
use qdrant_client::{Payload, Qdrant, QdrantError};
use serde_json::{json, Value};
use std::time::Duration;

type Failure = Box<dyn std::error::Error>;

/// Prints the answer, or the error that the server gave.
fn ask<T: Message>(call: &str, answer: Result<T, QdrantError>) {
    let line = match answer {
        Ok(message) => {
            let name = std::any::type_name::<T>().rsplit("::").next().unwrap_or_default();
            let bytes: String = message
                .encode_to_vec()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            json!({ "call": call, "message": name, "bytes": bytes })
        }
        Err(QdrantError::ResponseError { status }) => {
            json!({ "call": call, "answer": { "error": status.message(), "status": format!("{:?}", status.code()) } })
        }
        Err(error) => panic!("{call}: {error}"),
    };
    println!("{line}");
}

/// Prints an answer that the client has taken out of its message.
fn ask_plain<T: Into<Value>>(call: &str, answer: Result<T, QdrantError>) {
    let value: Value = answer.expect(call).into();
    println!("{}", json!({ "call": call, "answer": value }));
}

struct Flow {
    client: Qdrant,
    name: String,
}

fn numbers(list: &Value) -> Vec<f32> {
    let values = list.as_array().expect("a vector");
    values
        .iter()
        .map(|value| value.as_f64().expect("a number") as f32)
        .collect()
}

fn points_of(data: &Value) -> Vec<PointStruct> {
    let points = data["points"].as_array().expect("points");
    points
        .iter()
        .map(|point| {
            let payload = Payload::try_from(point["payload"].clone()).expect("an object");
            PointStruct::new(point["id"].as_u64().expect("an id"), numbers(&point["vector"]), payload)
        })
        .collect()
}

fn in_bern() -> Filter {
    Filter::must([Condition::matches("city", "Bern".to_string())])
}

fn payload(value: Value) -> Payload {
    Payload::try_from(value).expect("an object")
}

impl Flow {
    /// A collection that the proxy does not serve, and an alias of it.
    async fn other_collection(&self) {
        let (client, other, alias) = (
            &self.client,
            format!("{}_other", self.name),
            format!("{}_alias", self.name),
        );
        let size = VectorParamsBuilder::new(4, Distance::Dot);
        ask(
            "create another",
            client
                .create_collection(CreateCollectionBuilder::new(&other).vectors_config(size))
                .await,
        );
        let points = vec![
            PointStruct::new(1, vec![1.0, 1.0, 0.0, 0.0], Payload::new()),
            PointStruct::new(2, vec![2.0, 1.0, 0.0, 0.0], Payload::new()),
        ];
        ask(
            "upsert to another",
            client
                .upsert_points(UpsertPointsBuilder::new(&other, points).wait(true))
                .await,
        );
        ask(
            "alias of another",
            client.create_alias(CreateAliasBuilder::new(&other, &alias)).await,
        );
        ask("aliases of another", client.list_collection_aliases(&other).await);
        ask(
            "query by alias",
            client
                .query(QueryPointsBuilder::new(&alias).query(vec![1.0, 0.0, 0.0, 0.0]))
                .await,
        );
        ask("delete alias", client.delete_alias(&alias).await);
        ask("delete another", client.delete_collection(&other).await);
    }

    fn request(&self) -> QueryPointsBuilder {
        QueryPointsBuilder::new(&self.name).limit(5)
    }

    async fn query(&self, call: &str, request: QueryPointsBuilder) {
        ask(call, self.client.query(request).await);
    }

    async fn search(&self, embedding: Vec<f32>) -> Result<QueryResponse, QdrantError> {
        let (client, name) = (&self.client, &self.name);
        // snippet: search
        let found = client
            .query(QueryPointsBuilder::new(name).query(embedding).limit(10))
            .await?;
        // end
        Ok(found)
    }

    async fn searches(&self, queries: &[Vec<f32>]) {
        let vector = |i: usize| queries[i].clone();
        ask("query", self.search(vector(0)).await);
        let filtered = self.request().query(vector(1)).filter(in_bern()).with_payload(true);
        self.query("filter and payload", filtered).await;
        let later = self.request().query(vector(2)).offset(3).score_threshold(-1.0);
        self.query("offset and threshold", later).await;
        let exact = SearchParamsBuilder::default().exact(true);
        self.query("exact", self.request().query(vector(2)).params(exact)).await;
        self.query(
            "with vectors",
            self.request().query(vector(3)).limit(2).with_vectors(true),
        )
        .await;
        self.query("by id", self.request().query(PointId::from(7))).await;
        for strategy in [
            RecommendStrategy::AverageVector,
            RecommendStrategy::BestScore,
            RecommendStrategy::SumScores,
        ] {
            let examples = RecommendInputBuilder::default()
                .positive(vec![VectorInput::from(3), VectorInput::from(vector(4))])
                .negative(vec![VectorInput::from(5)])
                .strategy(strategy as i32);
            let query = Query::from(examples.build());
            self.query(
                &format!("recommend {}", strategy.as_str_name()),
                self.request().query(query),
            )
            .await;
        }
        let pair = || ContextInputPairBuilder::new(VectorInput::from(4), VectorInput::from(vector(5))).build();
        let context = || ContextInputBuilder::default().pairs(vec![pair()]).build();
        let discover = DiscoverInputBuilder::new(VectorInput::from(vector(6)), context()).build();
        self.query("discover", self.request().query(Query::from(discover)))
            .await;
        self.query("context", self.request().query(Query::from(context())).limit(500))
            .await;
        let nearest = |i: usize| PrefetchQueryBuilder::default().query(vector(i)).limit(20u64);
        let both = || self.request().add_prefetch(nearest(0)).add_prefetch(nearest(1));
        self.query("prefetch", both().query(vector(7))).await;
        for fusion in [Fusion::Rrf, Fusion::Dbsf] {
            self.query(&format!("fusion {}", fusion.as_str_name()), both().query(fusion))
                .await;
        }
        let higher = Expression::mult_with([Expression::constant(0.01), Expression::variable("n")]);
        let formula = FormulaBuilder::new(Expression::sum_with([Expression::score(), higher]));
        self.query("formula", self.request().add_prefetch(nearest(0)).query(formula))
            .await;
        let diverse = Query::new_nearest_with_mmr(vector(2), MmrBuilder::with_params(0.5, 50));
        self.query("diversity", self.request().query(diverse)).await;
        let order = Query::from(OrderByBuilder::new("n").build());
        self.query("order by", self.request().query(order).with_payload(true))
            .await;
        let batch: Vec<_> = (0..3)
            .map(|i| self.request().query(vector(i)).limit(3).build())
            .collect();
        ask(
            "batch",
            self.client
                .query_batch(QueryBatchPointsBuilder::new(&self.name, batch))
                .await,
        );
        let groups = QueryPointGroupsBuilder::new(&self.name, "city")
            .query(vector(0))
            .limit(3u64)
            .group_size(2u64);
        ask("groups", self.client.query_groups(groups).await);
    }

    async fn reads(&self) {
        let (client, name) = (&self.client, &self.name);
        ask("information", client.collection_info(name).await);
        ask_plain("exists", client.collection_exists(name).await);
        ask("count", client.count(CountPointsBuilder::new(name).exact(true)).await);
        ask(
            "count some",
            client.count(CountPointsBuilder::new(name).filter(in_bern())).await,
        );
        ask(
            "facet",
            client.facet(FacetCountsBuilder::new(name, "city").exact(true)).await,
        );
        ask(
            "scroll",
            client
                .scroll(ScrollPointsBuilder::new(name).limit(4).with_vectors(true))
                .await,
        );
        let in_order = ScrollPointsBuilder::new(name).limit(4).filter(in_bern()).order_by("n");
        ask("scroll in order", client.scroll(in_order).await);
        let some = GetPointsBuilder::new(name, vec![2.into(), 1001.into()])
            .with_vectors(true)
            .with_payload(true);
        ask("retrieve", client.get_points(some).await);
    }

    /// Reads the points that `writes` changes.
    async fn read_again(&self, call: &str) {
        let ids: Vec<PointId> = (1001..1007).map(PointId::from).collect();
        let filter = Filter::must([Condition::has_id(ids)]);
        let request = ScrollPointsBuilder::new(&self.name)
            .filter(filter)
            .with_vectors(true)
            .with_payload(true);
        ask(&format!("after: {call}"), self.client.scroll(request).await);
    }

    /// Changes the new points in every way and reads them after each.
    async fn writes(&self, points: &[PointStruct]) {
        let (client, name) = (&self.client, &self.name);
        let one = |id: u64| vec![PointId::from(id)];
        let set = |value: Value, id: u64| {
            SetPayloadPointsBuilder::new(name, payload(value))
                .points_selector(one(id))
                .wait(true)
        };
        ask(
            "set payload",
            client.set_payload(set(json!({"a": {"b": 1}}), 1001)).await,
        );
        self.read_again("set payload").await;
        ask(
            "overwrite payload",
            client.overwrite_payload(set(json!({"n": 5}), 1003)).await,
        );
        self.read_again("overwrite payload").await;
        let keys = DeletePayloadPointsBuilder::new(name, vec!["city".to_string()])
            .points_selector(one(1004))
            .wait(true);
        ask("delete payload", client.delete_payload(keys).await);
        self.read_again("delete payload").await;
        let cleared = ClearPayloadPointsBuilder::new(name).points(one(1005)).wait(true);
        ask("clear payload", client.clear_payload(cleared).await);
        self.read_again("clear payload").await;
        let moved = PointVectors {
            id: Some(1001.into()),
            vectors: points[7].vectors.clone(),
        };
        ask(
            "update vectors",
            client
                .update_vectors(UpdatePointVectorsBuilder::new(name, vec![moved]).wait(true))
                .await,
        );
        self.read_again("update vectors").await;
        let unnamed = VectorsSelector {
            names: vec![String::new()],
        };
        let bare = DeletePointVectorsBuilder::new(name)
            .points_selector(one(1002))
            .vectors(unnamed)
            .wait(true);
        ask("delete vectors", client.delete_vectors(bare).await);
        self.read_again("delete vectors").await;
        let gone = PointsSelector {
            points_selector_one_of: Some(one(1006).into()),
        };
        let operations: Vec<PointsUpdateOperation> = [
            Operation::Upsert(PointStructList {
                points: points[1..2].to_vec(),
                ..Default::default()
            }),
            Operation::DeletePoints(DeletePoints {
                points: Some(gone),
                ..Default::default()
            }),
        ]
        .into_iter()
        .map(|operation| PointsUpdateOperation {
            operation: Some(operation),
        })
        .collect();
        ask(
            "batch of updates",
            client
                .update_points_batch(UpdateBatchPointsBuilder::new(name, operations).wait(true))
                .await,
        );
        self.read_again("batch of updates").await;
    }

    async fn errors(&self) {
        let (client, name, short) = (&self.client, &self.name, vec![0.5, 0.5]);
        self.query("a query too short", self.request().query(short.clone()))
            .await;
        let point = PointStruct::new(9999, short.clone(), Payload::new());
        ask(
            "a point too short",
            client
                .upsert_points(UpsertPointsBuilder::new(name, vec![point]).wait(true))
                .await,
        );
        self.query("no such vector", self.request().query(short).using("missing"))
            .await;
        self.query("no such point", self.request().query(PointId::from(999_999)))
            .await;
        ask(
            "no such collection",
            client.count(CountPointsBuilder::new(format!("{name}_missing"))).await,
        );
        let size = VectorParamsBuilder::new(4, Distance::Dot);
        ask(
            "create it again",
            client
                .create_collection(CreateCollectionBuilder::new(name).vectors_config(size))
                .await,
        );
    }

    async fn all(&self, data: &Value) -> Result<(), QdrantError> {
        let (client, name, points) = (&self.client, &self.name, points_of(data));
        let queries: Vec<Vec<f32>> = data["queries"]
            .as_array()
            .expect("queries")
            .iter()
            .map(numbers)
            .collect();
        self.other_collection().await;
        for (field, kind) in [("city", FieldType::Keyword), ("n", FieldType::Integer)] {
            let index = CreateFieldIndexCollectionBuilder::new(name, field, kind).wait(true);
            ask(&format!("index {field}"), client.create_field_index(index).await);
        }
        let all = points.clone();
        // snippet: write
        let written = client
            .upsert_points(UpsertPointsBuilder::new(name, points).wait(true))
            .await?; // full vectors
                     // end
        ask("upsert", Ok(written));
        self.reads().await;
        self.searches(&queries).await;
        self.writes(&all).await;
        self.errors().await;
        let ids: Vec<PointId> = (1001..1009).map(PointId::from).collect();
        ask(
            "delete by ids",
            client
                .delete_points(DeletePointsBuilder::new(name).points(ids).wait(true))
                .await,
        );
        let new = Filter::must([Condition::range(
            "n",
            Range {
                gte: Some(1001.0),
                ..Default::default()
            },
        )]);
        ask(
            "delete by filter",
            client
                .delete_points(DeletePointsBuilder::new(name).points(new).wait(true))
                .await,
        );
        for field in ["city", "n"] {
            let index = DeleteFieldIndexCollectionBuilder::new(name, field).wait(true);
            ask(&format!("no index {field}"), client.delete_field_index(index).await);
        }
        ask(
            "count at the end",
            client.count(CountPointsBuilder::new(name).exact(true)).await,
        );
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let [_, _mode, _rest_url, grpc_url, name, file]: [String; 6] = std::env::args()
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "expected five arguments")?;
    let data: Value = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    let patience = Duration::from_secs(300);
    // snippet: gRPC
    let client = Qdrant::from_url(&grpc_url).timeout(patience).build()?;
    // end
    Flow { client, name }.all(&data).await?;
    Ok(())
}
