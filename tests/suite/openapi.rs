//! What the OpenAPI document says of the private door, held against the door.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Map, Value as Json, json};
use suppressd::{
    app,
    clock::Clock,
    http::{
        body::{Bodies, BodyLimits},
        private::{self, Private},
    },
    lifecycle::Lifecycle,
    lookup::{Lookup, LookupSettings, followers::Followers, scrape::Scrape},
    simulator::{Settings, draft::company},
};

use crate::world::World;

const TOKEN: &str = "the-admin-token";

/// The methods that a path may take.
const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

async fn document(world: &World) -> Json {
    let (status, document) = world.ask("/openapi.json").await;
    assert_eq!(status, 200);
    document
}

/// Every operation of a document: its path, its method, and what is said of it.
fn operations(document: &Json) -> Vec<(&str, Method, &Json)> {
    let paths = document.get("paths").and_then(Json::as_object).unwrap().iter();
    let method = |word: &str| word.to_uppercase().parse().unwrap();
    paths
        .flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |(word, it)| (&**path, method(word), it)))
        .collect()
}

/// The paths of a router, which names them only where it shows itself.
fn routed(world: &World) -> BTreeSet<String> {
    let settings =
        LookupSettings { max_age: TimeDelta::days(7), rules: app::rules(&world.config()).unwrap(), tables: Vec::new() };
    let lookup = Lookup::new(world.serving.store.clone(), Clock::system(), settings);
    let lifecycle = Lifecycle::default();
    let bodies = Bodies::new(BodyLimits::default());
    let scrape = Scrape::alone(lookup.clone());
    let private = Private { lookup, health: lifecycle.health.clone(), bodies, scrape };
    let router = private::routes(private, Followers::new(lifecycle.soft), None, axum::Router::new());
    let shown = format!("{router:?}");
    let paths = shown.split("RouteId(").filter_map(|part| part.split_once("): \"")?.1.split('"').next());
    // The two of the fallback stand for what is no route.
    let paths = paths.filter(|path| *path != "/" && !path.contains("fallback"));
    paths.map(|path| path.replace("{*", "{")).collect()
}

#[tokio::test]
async fn the_document_names_every_route_and_no_other() {
    let world = World::start().await;
    let document = document(&world).await;
    let described: BTreeSet<String> = operations(&document).iter().map(|(path, ..)| (*path).to_owned()).collect();
    let routed = routed(&world);
    assert!(described.contains("/v1/check") && described.contains("/healthz"), "{described:?}");
    assert_eq!(described, routed);

    for path in &described {
        let described: Vec<_> = operations(&document).into_iter().filter(|(of, ..)| of == path).collect();
        for method in METHODS {
            let request = world.http.request(method.clone(), world.private_url(&path.replace(['{', '}'], "")));
            // A body that no route takes: only whether there is such a route is asked.
            let status = request.header("Content-Type", "text/plain").body("{").send().await.unwrap().status();
            let is_described = described.iter().any(|(_, of, _)| *of == method);
            assert_eq!(status != 405, is_described, "{method} {path}: {status}");
        }
    }
}

#[tokio::test]
async fn every_operation_is_described_in_full() {
    let world = World::start().await;
    let document = document(&world).await;
    assert_eq!((&document["openapi"], &document["info"]["version"]), (&json!("3.1.0"), &json!("0.1.0")));
    let tags: BTreeSet<_> =
        document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).map(Json::to_string).collect();
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let said = |what: &str| operation[what].as_str().is_some_and(|text| !text.is_empty());
        assert!(said("summary") && said("operationId"), "{method} {path}");
        assert!(ids.insert(operation["operationId"].clone().to_string()), "{method} {path}");
        assert!(operation["tags"].as_array().unwrap().iter().all(|tag| tags.contains(&tag.to_string())), "{path}");
        let responses = operation["responses"].as_object().unwrap();
        for (status, response) in responses {
            let headers = response["headers"].as_object().unwrap();
            assert!(headers.contains_key("x-request-id"), "{method} {path} {status}");
            assert_eq!(headers.contains_key("retry-after"), status == "503", "{method} {path} {status}");
            let is_error = status.starts_with(['4', '5']);
            let is_problem = response["content"].get("application/problem+json").is_some();
            assert_eq!(is_problem, is_error, "{method} {path} {status}");
        }
        let has = |status: &str| responses.contains_key(status);
        assert!(path == "/healthz" || (has("403") && has("500") && has("503") && !has("401")), "{method} {path}");
        let takes = |place: &str| operation["parameters"].as_array().into_iter().flatten().any(|it| it["in"] == place);
        assert!(has("400") || !(takes("path") || takes("query")), "{method} {path}");
        if operation.get("requestBody").is_some() {
            assert!(["400", "408", "413", "415"].into_iter().all(has), "{method} {path}");
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let is_path = parameter["in"] == "path";
            assert!(parameter["description"].is_string(), "{path}: {parameter}");
            assert!(
                !is_path || (parameter["required"] == true && !parameter["example"].is_null()),
                "{path}: {parameter}"
            );
        }
    }
}

/// The requests that the examples of an operation stand for.
fn examples(world: &World, path: &str, method: &Method, operation: &Json) -> Vec<RequestBuilder> {
    let parameters = operation
        .get("parameters")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter(|it| it.get("example").is_some());
    let (mut path, mut query) = (path.to_owned(), Vec::new());
    for parameter in parameters {
        let example = parameter.get("example").unwrap();
        let example = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
        let text = |name: &str| parameter.get(name).and_then(Json::as_str).unwrap();
        match (text("in"), text("name")) {
            ("path", name) => path = path.replace(&format!("{{{name}}}"), &example),
            (_, name) => query.push((name.to_owned(), example)),
        }
    }
    let without = world.http.request(method.clone(), world.private_url(&path));
    let url = reqwest::Url::parse_with_params(&world.private_url(&path), &query).unwrap();
    let with = world.http.request(method.clone(), url);
    let none = Map::new();
    let bodies =
        operation.pointer("/requestBody/content/application~1json/examples").and_then(Json::as_object).unwrap_or(&none);
    let mut requests = vec![];
    for request in [without, with] {
        if bodies.is_empty() {
            requests.push(request);
        } else {
            let body = |body: &Json| request.try_clone().unwrap().json(body.get("value").unwrap());
            requests.extend(bodies.values().map(body));
        }
    }
    requests
}

/// Checks that an answer is one that the document names, and is what was asked for.
fn check(answer: &Response, operation: &Json) {
    let (status, kind) = (answer.status(), answer.headers().get("content-type").unwrap().to_str().unwrap());
    assert!(status.is_success(), "{} {status}", answer.url());
    let described = operation.get("responses").and_then(|all| all.get(status.as_str())).unwrap();
    assert!(described.get("content").unwrap().get(kind).is_some(), "{}: {status} {kind}: {described}", answer.url());
    for (name, header) in described.get("headers").and_then(Json::as_object).unwrap() {
        let is_required = header.get("required").is_some_and(|it| *it == true) || name == "x-request-id";
        assert!(!is_required || answer.headers().contains_key(name), "{}: {name}", answer.url());
    }
}

#[tokio::test]
async fn every_example_of_the_document_is_answered_as_it_says() {
    let world = World::with(Settings::default(), &[]).await;
    world.workspace().create(company("Acme").website("acme.ai"));
    world.tell().await;
    let document = document(&world).await;
    let mut operations = operations(&document);
    // What they ask for is there when the others are asked for it.
    operations.sort_by_key(|(_, method, _)| *method != Method::POST);
    let mut asked = 0;
    for (path, method, operation) in operations {
        for request in examples(&world, path, &method, operation) {
            check(&request.send().await.unwrap(), operation);
            asked += 1;
        }
    }
    assert!(asked > 15, "{asked} examples");
}

#[tokio::test]
async fn the_document_asks_for_a_token_where_one_is_configured_and_only_there() {
    let open = World::start().await;
    let open = document(&open).await;
    assert!(open["components"].get("securitySchemes").is_none() && !open.to_string().contains("\"security\""));
    let guarded = World::with(Settings::default(), &[("SUPPRESSD_ADMIN_TOKEN", TOKEN)]).await;
    let document = document(&guarded).await;
    assert!(!document.to_string().contains(TOKEN));
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    for (path, method, operation) in operations(&document) {
        let asks = operation["security"] == json!([{"bearer": []}]);
        assert_eq!(asks, path != "/healthz", "{method} {path}");
        let challenge = &operation["responses"]["401"]["headers"]["www-authenticate"];
        assert_eq!(challenge.is_null(), path == "/healthz", "{method} {path}");
    }
}

#[tokio::test]
async fn every_answer_bears_the_id_of_its_request() {
    let world = World::start().await;
    let id = async |path: &str, given: Option<&[u8]>| {
        let mut request = world.http.get(world.private_url(path));
        if let Some(given) = given {
            request = request.header("X-Request-Id", given);
        }
        let answer = request.send().await.unwrap();
        let id = answer.headers()["x-request-id"].as_bytes().to_vec();
        let problem: Json = answer.json().await.unwrap_or_default();
        if let Some(told) = problem["request_id"].as_str() {
            assert_eq!(told.as_bytes(), id, "{path}");
        }
        id
    };
    for path in ["/healthz", "/readyz", "/v1/status", "/v1/sweeps/99", "/v1/sweeps/x", "/nowhere"] {
        for fit in [&b"7"[..], b"a/b+c=<d>", &[b'x'; 128]] {
            assert_eq!(id(path, Some(fit)).await, fit, "{path}");
        }
        let mut made = BTreeSet::new();
        for unfit in [None, Some(&b""[..]), Some(b"two words"), Some(&[b'x'; 129]), Some(b"caf\xc3\xa9")] {
            let id = id(path, unfit).await;
            assert_eq!((id.len(), Some(&*id) == unfit), (36, false), "{path} {unfit:?}");
            made.insert(id);
        }
        assert_eq!(made.len(), 5, "each is another");
    }
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_can_read_them() {
    let world = World::start().await;
    let plain = reqwest::Client::builder().no_gzip().no_proxy().build().unwrap();
    let answer = async |url: String, accepted: &str| {
        let answer = plain.get(url).header("Accept-Encoding", accepted).send().await.unwrap();
        let encoding = answer.headers().get("content-encoding").map(|encoding| encoding.to_str().unwrap().to_owned());
        (encoding, answer.bytes().await.unwrap())
    };
    let document = world.private_url("/openapi.json");
    let (encoding, whole) = answer(document.clone(), "identity").await;
    assert_eq!((encoding, whole[0]), (None, b'{'));
    for (accepted, name, magic) in
        [("gzip", "gzip", &[0x1f, 0x8b][..]), ("zstd, br", "zstd", &[0x28, 0xb5, 0x2f, 0xfd])]
    {
        let (encoding, packed) = answer(document.clone(), accepted).await;
        assert_eq!((encoding.as_deref(), &packed[..magic.len()]), (Some(name), magic));
        assert!(packed.len() * 3 < whole.len(), "{} of {}", packed.len(), whole.len());
    }
    let read = world.http.get(&document).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(read, whole, "what was compressed reads as what was not");
    for small in ["/healthz", "/v1/sweeps", "/v1/sweeps/99"] {
        assert_eq!(answer(world.private_url(small), "gzip").await.0, None, "{small}");
    }
    assert_eq!(answer(format!("http://{}/healthz", world.serving.public), "gzip").await.0, None);
}
