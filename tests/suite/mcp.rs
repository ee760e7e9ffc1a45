//! The MCP server as clients meet it: raw messages over the pipe of the real program, and over HTTP.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use reqwest::{StatusCode, header};
use serde_json::{Value as Json, json};
use suppressd::{
    lifecycle::Ended,
    simulator::{Settings, api::Manner, draft::company},
};

use crate::{
    program::{self, Program},
    world::World,
};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_mins(2);

const TOOLS: [&str; 7] = [
    "build_canonical_keys",
    "cache_status",
    "check_suppression",
    "explain",
    "list_issues",
    "sync_suppression_cache",
    "validate_notion_schema",
];

/// A client at the pipe of `suppressd mcp`.
struct Pipe {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    errors: std::thread::JoinHandle<String>,
    next_id: u64,
}

impl Pipe {
    fn open(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (tells, lines) = channel();
        let (output, errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        std::thread::spawn(move || BufReader::new(output).lines().try_for_each(|line| tells.send(line.unwrap())));
        let errors = std::thread::spawn(move || std::io::read_to_string(errors).unwrap());
        let mut pipe = Self { input: child.stdin.take(), child, lines, errors, next_id: 1 };
        let hello =
            json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}});
        let welcome = pipe.ask("initialize", &hello);
        assert_eq!(welcome.pointer("/result/serverInfo/name"), Some(&json!("suppressd")), "{welcome}");
        pipe.tell("notifications/initialized", &json!({}));
        pipe
    }

    fn write(&mut self, message: &str) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{message}").and_then(|()| input.flush()).unwrap();
    }

    fn tell(&mut self, method: &str, params: &Json) {
        self.write(&json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string());
    }

    /// Sends a request and returns its id.
    fn send(&mut self, method: &str, params: &Json) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.write(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string());
        id
    }

    /// Every line of stdout is a message.
    fn next(&mut self) -> Json {
        serde_json::from_str(&self.lines.recv_timeout(PATIENCE).unwrap()).unwrap()
    }

    fn answer(&mut self, id: u64) -> Json {
        loop {
            let message = self.next();
            if message.get("id").and_then(Json::as_u64) == Some(id) {
                return message;
            }
        }
    }

    fn ask(&mut self, method: &str, params: &Json) -> Json {
        let id = self.send(method, params);
        self.answer(id)
    }

    fn call(&mut self, tool: &str, arguments: &Json) -> Json {
        let mut answer = self.ask("tools/call", &json!({"name": tool, "arguments": arguments}));
        answer.pointer_mut("/result").unwrap().take()
    }

    /// Hangs up, and returns how the program ended and what it said on stderr.
    fn close(mut self) -> (Option<i32>, String) {
        drop(self.input.take());
        self.end()
    }

    fn end(mut self) -> (Option<i32>, String) {
        let mut status = None;
        program::until("it ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        (status.unwrap().code(), self.errors.join().unwrap())
    }
}

fn text(result: &Json) -> &str {
    result.pointer("/content/0/text").unwrap().as_str().unwrap()
}

/// Checks that a call failed in a way that a model can read.
#[track_caller]
fn fails_with(result: &Json, told: &str) {
    assert_eq!(result.get("isError"), Some(&json!(true)), "{result}");
    assert!(text(result).contains(told), "{told:?} is missing: {result}");
}

fn listed(tools: &Json) -> BTreeMap<String, Json> {
    let tools = tools.pointer("/result/tools").unwrap().as_array().unwrap();
    tools.iter().map(|tool| (tool.get("name").unwrap().as_str().unwrap().to_owned(), tool.clone())).collect()
}

#[test]
fn every_tool_is_shown_with_its_schemas_and_what_it_may_do() {
    let mut pipe = Pipe::open(Program::new().command(&["mcp"]));
    let tools = listed(&pipe.ask("tools/list", &json!({})));
    assert_eq!(tools.keys().map(String::as_str).collect::<Vec<_>>(), TOOLS);
    for (name, tool) in &tools {
        for schema in ["inputSchema", "outputSchema"] {
            assert_eq!(tool[schema]["type"], "object", "{name}: {tool}");
        }
        assert!(tool["description"].as_str().is_some_and(|text| text.len() > 40), "{name}");
        let hints = &tool["annotations"];
        let is_sync = name == "sync_suppression_cache";
        assert_eq!(hints["readOnlyHint"], !is_sync, "{name}");
        assert_eq!(hints["destructiveHint"].as_bool(), is_sync.then_some(false), "{name}");
        assert!(hints["title"].is_string() && hints["openWorldHint"].is_boolean(), "{name}");
        let arguments = tool["inputSchema"]["properties"].as_object().unwrap();
        assert!(arguments.values().all(|argument| argument["description"].is_string()), "{name}: {arguments:?}");
        assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{name}");
    }
    let check = tools["check_suppression"]["inputSchema"]["properties"].as_object().unwrap();
    for argument in ["query", "queries", "companies", "domain", "name", "location", "max_age", "wait"] {
        assert!(check.contains_key(argument), "{argument}");
    }
    let (status, _) = pipe.close();
    assert_eq!(status, Some(0));
}

#[test]
fn each_tool_answers_from_the_database_without_the_settings_of_notion() {
    let program = Program::with_fixtures();
    let mut pipe = Pipe::open(program.command(&["mcp"]));

    let asked = json!({"queries": ["saltmarsh-biologics.example", "nobody.example", "???"], "companies": [{"name": "Nobody at all"}]});
    let checked = pipe.call("check_suppression", &asked);
    let results = checked["structuredContent"]["results"].as_array().unwrap();
    assert_eq!((results.len(), &results[0]["verdict"]), (4, &json!("suppressed")), "{checked}");
    let command =
        program.run(&["check", "saltmarsh-biologics.example", "nobody.example", "???", "--json"]).json_lines();
    for (mut ours, mut theirs) in results.iter().cloned().zip(command) {
        // Time goes on between the two.
        for answer in [&mut ours, &mut theirs] {
            answer.as_object_mut().unwrap().remove("age_seconds");
        }
        assert_eq!(ours, theirs);
    }
    assert_eq!((&checked["isError"], text(&checked).lines().count()), (&json!(false), 4), "{checked}");

    let keys =
        pipe.call("build_canonical_keys", &json!({"queries": ["https://www.acme.ai"], "companies_house": "123456"}));
    let command = program.run(&["keys", "https://www.acme.ai", "--companies-house", "123456", "--json"]).json();
    assert_eq!(keys["structuredContent"], command);

    let explained = pipe.call("explain", &json!({"query": "domain:saltmarsh-biologics.example"}));
    assert_eq!(explained["structuredContent"]["keys"][0]["key"], "domain:saltmarsh-biologics.example", "{explained}");

    let status = pipe.call("cache_status", &json!({}));
    assert!(status["structuredContent"]["cache"]["entries"].as_u64() > Some(0), "{status}");

    let issues = pipe.call("list_issues", &json!({"kinds": ["without_key"], "limit": 1}));
    assert_eq!(issues["structuredContent"]["counts"].as_object().unwrap().len(), 1, "{issues}");

    let schema = pipe.call("validate_notion_schema", &json!({}));
    assert!(schema["structuredContent"]["not_live"].as_str().unwrap().contains("NOTION_API_KEY"), "{schema}");
    assert!(text(&schema).contains("of 10 properties found") && !text(&schema).contains('\u{fffd}'), "{schema}");

    fails_with(&pipe.call("sync_suppression_cache", &json!({"dry_run": true})), "NOTION_API_KEY");
    let (status, err) = pipe.close();
    assert_eq!((status, err.as_str()), (Some(0), ""));
}

#[test]
fn what_is_asked_wrongly_is_told_and_the_conversation_goes_on() {
    let program = Program::with_fixtures();
    let mut pipe = Pipe::open(program.command(&["mcp"]));
    let unknown = pipe.ask("tools/call", &json!({"name": "check", "arguments": {}}));
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    assert!(unknown["error"]["message"].as_str().unwrap().contains("check_suppression"), "{unknown}");
    for (tool, arguments, told) in [
        ("check_suppression", json!({}), "nothing was asked"),
        ("check_suppression", json!({"domian": "acme.ai"}), "unknown field `domian`"),
        ("check_suppression", json!({"query": 7}), "expected a string"),
        ("check_suppression", json!({"query": "???"}), "???: no answer"),
        ("check_suppression", json!({"query": "???"}), "ask for a key such as domain:acme.ai"),
        ("check_suppression", json!({"queries": vec!["a.com"; 1001]}), "at most 1000"),
        ("check_suppression", json!({"query": "acme.ai", "max_age": "soon"}), "max_age: write a whole number"),
        ("build_canonical_keys", json!({}), "nothing was given"),
        ("explain", json!({}), "missing field `query`"),
        ("explain", json!({"query": "???"}), "ask for a key such as domain:acme.ai"),
        ("explain", json!({"query": "acme.ai", "limit": 0}), "limit is between 1 and 1000"),
        ("list_issues", json!({"kinds": ["worries"]}), "there is no such kind of issue"),
        ("list_issues", json!({"limit": 0}), "limit is between 1 and 1000"),
        ("cache_status", json!({"verbose": true}), "unknown field `verbose`"),
        ("sync_suppression_cache", json!({"ttl_days": 0}), "ttl_days is between 1 and 365"),
    ] {
        fails_with(&pipe.call(tool, &arguments), told);
    }
    let unknown = pipe.ask("prompts/get", &json!({"name": "check"}));
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    pipe.write("no message");
    pipe.write(&format!("{{\"padding\": \"{}\"}}", "a".repeat(1024 * 1024)));
    assert_eq!(pipe.call("check_suppression", &json!({"query": "acme.ai"}))["isError"], false);
}

#[test]
fn the_prompts_come_with_their_arguments() {
    let mut pipe = Pipe::open(Program::new().command(&["mcp"]));
    let prompts = pipe.ask("prompts/list", &json!({}));
    let names: BTreeSet<_> =
        prompts["result"]["prompts"].as_array().unwrap().iter().filter_map(|prompt| prompt["name"].as_str()).collect();
    assert_eq!(names, BTreeSet::from(["check-suppression", "sync-suppression-cache", "validate-notion-schema"]));
    let asked = json!({"name": "check-suppression", "arguments": {"company": "acme.ai"}});
    let prompt = pipe.ask("prompts/get", &asked);
    let text = prompt["result"]["messages"][0]["content"]["text"].as_str().unwrap();
    assert!(text.contains("acme.ai") && text.contains("`clear` is the only go-ahead"), "{text}");
}

#[test]
fn without_a_database_there_is_none_made_and_keys_are_told_all_the_same() {
    let program = Program::new();
    let mut pipe = Pipe::open(program.command(&["mcp"]));
    for (tool, arguments) in [
        ("check_suppression", json!({"query": "acme.ai"})),
        ("check_suppression", json!({"query": "acme.ai", "max_age": "1h"})),
        ("explain", json!({"query": "acme.ai"})),
        ("cache_status", json!({})),
        ("list_issues", json!({})),
    ] {
        fails_with(&pipe.call(tool, &arguments), "there is no database at");
    }
    assert_eq!(pipe.call("build_canonical_keys", &json!({"domain": "acme.ai"}))["isError"], false);
    let schema = pipe.call("validate_notion_schema", &json!({}));
    assert_eq!(schema["structuredContent"]["valid"], false, "{schema}");
    let (status, _) = pipe.close();
    assert_eq!((status, program.database().exists()), (Some(0), false));
}

#[test]
fn it_ends_when_its_client_hangs_up_or_a_signal_comes() {
    let program = Program::new();
    let mut silent = program.command(&["mcp"]).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    assert!(silent.wait().unwrap().success());
    let pipe = Pipe::open(program.command(&["mcp"]));
    let sent = Command::new("kill").args(["-TERM", &pipe.child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(pipe.end().0, Some(0));
}

/// `suppressd mcp` with the settings of a world.
#[test]
fn it_ends_quietly_when_nobody_reads_its_answers() {
    let mut child = Program::new()
        .command(&["mcp"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut input = child.stdin.take().unwrap();
    let hello =
        json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}});
    for id in 1..9 {
        // It may have ended by now.
        drop(writeln!(input, "{}", json!({"jsonrpc": "2.0", "id": id, "method": "initialize", "params": hello})));
    }
    let mut status = None;
    program::until("it ends though stdin is open", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    drop(input);
    let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert_eq!((status.unwrap().code(), said.as_str()), (Some(0), ""));
}

fn beside(world: &World) -> Pipe {
    let mut command = Command::new(env!("CARGO_BIN_EXE_suppressd"));
    command.env_clear().envs(world.environment()).current_dir(world.folder()).arg("mcp");
    Pipe::open(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_beside_serve_hands_its_sweep_over_and_without_serve_does_it_itself() {
    let world = World::start().await;
    world.workspace().create(company("Acme").website("acme.ai").status("Passed"));
    for is_served in [true, false] {
        if !is_served {
            assert_eq!(world.stop().await, Ended::Stopped);
        }
        let swept = tokio::task::block_in_place(|| {
            let mut pipe = beside(&world);
            let schema = pipe.call("validate_notion_schema", &json!({}));
            let report = &schema["structuredContent"];
            assert_eq!(report["not_live"].is_null(), !is_served, "{schema}");
            assert_eq!(report["sources"][0]["read_from"], if is_served { "stored" } else { "notion" }, "{schema}");
            let meta = json!({"progressToken": "p"});
            let id = pipe.send("tools/call", &json!({"name": "sync_suppression_cache", "_meta": meta}));
            let (mut told, mut last) = (0, -1.0);
            let swept = loop {
                let message = pipe.next();
                if message["id"] == id {
                    break message;
                }
                assert_eq!(message["method"], "notifications/progress", "{message}");
                assert_eq!(message["params"]["progressToken"], "p");
                let progress = message["params"]["progress"].as_f64().unwrap();
                assert!(progress > last, "{message}");
                (told, last) = (told + 1, progress);
            };
            assert!(told > 0);
            let checked = pipe.call("check_suppression", &json!({"query": "acme.ai"}));
            let verdict = &checked["structuredContent"]["results"][0];
            assert_eq!((&verdict["verdict"], &verdict["matched"]["firmness"]), (&json!("suppressed"), &json!("hard")));
            assert!(text(&checked).starts_with("acme.ai: suppressed (hard): "), "{checked}");
            let (status, err) = pipe.close();
            assert_eq!(status, Some(0), "{err}");
            check_for_secrets(&world, &format!("{schema}{swept}{checked}{err}"));
            swept
        });
        let report = &swept["result"]["structuredContent"];
        assert_eq!((&report["outcome"], &report["entries_synced"]), (&json!("complete"), &json!(1)), "{swept}");
    }
}

fn check_for_secrets(world: &World, said: &str) {
    for secret in ["NOTION_API_KEY", "NOTION_VERIFICATION_TOKEN", "SUPPRESSD_ADMIN_TOKEN"] {
        if let Some(secret) = world.environment().get(secret) {
            assert!(!said.contains(secret.as_str()), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_cancels_stops_the_sweep_of_this_process_and_nothing_is_removed() {
    let manner = Manner { latency: Duration::from_millis(300), ..Manner::default() };
    let world = World::with(Settings { manner, ..Settings::default() }, &[]).await;
    for n in 0..300 {
        world.workspace().create(company(&format!("Company {n}")).website(&format!("c{n}.example")));
    }
    assert_eq!(world.stop().await, Ended::Stopped);
    tokio::task::block_in_place(|| {
        let mut pipe = beside(&world);
        let meta = json!({"progressToken": 1});
        let id = pipe.send("tools/call", &json!({"name": "sync_suppression_cache", "_meta": meta}));
        assert_eq!(pipe.next()["method"], "notifications/progress");
        pipe.tell("notifications/cancelled", &json!({"requestId": id}));
        // The server goes on answering, and never answers what was cancelled.
        let mut running = true;
        program::until("the sweep has ended", || {
            let status = pipe.call("cache_status", &json!({}));
            running = !status["structuredContent"]["running_sweep"].is_null();
            !running
        });
        let status = pipe.call("cache_status", &json!({}));
        assert_ne!(status["structuredContent"]["last_sweep"]["outcome"], "complete", "{status}");
        assert_eq!(pipe.close().0, Some(0));
    });
}

/// Posts one message to `/mcp`, as a client without a session does.
async fn post(world: &World, message: &Json, headers: &[(header::HeaderName, &str)]) -> reqwest::Response {
    let mut request = world
        .http
        .post(format!("http://{}/mcp", world.serving.private))
        .header(header::ACCEPT, "application/json, text/event-stream")
        .header("MCP-Protocol-Version", "2025-06-18")
        .json(message);
    for (name, value) in headers {
        request = request.headers([(name.clone(), value.parse().unwrap())].into_iter().collect());
    }
    request.send().await.unwrap()
}

fn message(method: &str, params: &Json) -> Json {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

async fn call(world: &World, tool: &str, arguments: &Json) -> Json {
    let answer = post(world, &message("tools/call", &json!({"name": tool, "arguments": arguments})), &[]).await;
    assert_eq!(answer.headers().get(header::CONTENT_TYPE).unwrap(), "application/json");
    answer.json::<Json>().await.unwrap().pointer_mut("/result").unwrap().take()
}

#[tokio::test]
async fn over_http_the_same_tools_answer_many_clients_at_once_without_sessions() {
    let world = World::start().await;
    world.workspace().create(company("Acme").website("acme.ai").status("Met"));
    world.tell().await;
    let hello =
        json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}});
    let welcome = post(&world, &message("initialize", &hello), &[]).await;
    assert!(welcome.headers().get("mcp-session-id").is_none());
    let tools = post(&world, &message("tools/list", &json!({})), &[]).await.json().await.unwrap();
    assert_eq!(listed(&tools).keys().map(String::as_str).collect::<Vec<_>>(), TOOLS);
    let (asked, status) = (json!({"query": "acme.ai"}), json!({}));
    let (one, other, status, schema) = tokio::join!(
        call(&world, "check_suppression", &asked),
        call(&world, "explain", &asked),
        call(&world, "cache_status", &status),
        call(&world, "validate_notion_schema", &status),
    );
    assert_eq!(one["structuredContent"]["results"][0]["matched"]["firmness"], "soft", "{one}");
    assert_eq!(other["structuredContent"]["keys"][0]["claims"][0]["company_name"], "Acme", "{other}");
    assert_eq!(status["structuredContent"]["cache"]["entries"], 1, "{status}");
    assert_eq!(schema["structuredContent"]["sources"][0]["read_from"], "notion", "{schema}");
    check_for_secrets(&world, &format!("{one}{other}{status}{schema}"));
    let stream = world.http.get(format!("http://{}/mcp", world.serving.private)).send().await.unwrap();
    assert_eq!(stream.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn over_http_progress_comes_before_the_result() {
    let world = World::start().await;
    world.workspace().create(company("Acme").website("acme.ai"));
    let params =
        json!({"name": "sync_suppression_cache", "arguments": {"dry_run": true}, "_meta": {"progressToken": "p"}});
    let answer = post(&world, &message("tools/call", &params), &[]).await;
    assert_eq!(answer.headers().get(header::CONTENT_TYPE).unwrap(), "text/event-stream");
    let body = answer.text().await.unwrap();
    let events: Vec<Json> =
        body.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?.trim()).ok()).collect();
    let (result, progress) = events.split_last().unwrap();
    assert!(!progress.is_empty() && progress.iter().all(|told| told["method"] == "notifications/progress"), "{body}");
    let report = &result["result"]["structuredContent"];
    assert_eq!((&report["dry_run"], &report["outcome"]), (&json!(true), &json!("complete")), "{body}");
    assert_eq!(world.rows(), [], "nothing was written");
}

#[tokio::test]
async fn over_http_the_token_the_host_the_origin_and_the_size_are_looked_at_first() {
    let world = World::with(Settings::default(), &[("SUPPRESSD_ADMIN_TOKEN", "a-secret-of-23-letters")]).await;
    let ping = message("tools/list", &json!({}));
    for authorization in [None, Some("Bearer wrong"), Some("Basic a-secret-of-23-letters")] {
        let headers: Vec<_> = authorization.into_iter().map(|value| (header::AUTHORIZATION, value)).collect();
        assert_eq!(post(&world, &ping, &headers).await.status(), StatusCode::UNAUTHORIZED);
    }
    let bearer = (header::AUTHORIZATION, "Bearer a-secret-of-23-letters");
    // A proxy may ask under any name: the token tells who it is.
    let answer = post(&world, &ping, &[bearer.clone(), (header::HOST, "suppressd.example")]).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let huge = message("tools/call", &json!({"name": "a".repeat(1024 * 1024)}));
    assert_eq!(post(&world, &huge, &[bearer]).await.status(), StatusCode::PAYLOAD_TOO_LARGE);

    let world = World::start().await;
    assert_eq!(post(&world, &ping, &[]).await.status(), StatusCode::OK);
    let url = world.private_url("/mcp");
    for (request, told) in [
        (world.http.post(&url).json(&ping), "send the header `Accept: application/json, text/event-stream`"),
        (world.http.put(&url), "this path takes only POST"),
        (
            world.http.post(&url).header(header::ACCEPT, "application/json, text/event-stream").body("{}"),
            "Content-Type must be application/json",
        ),
    ] {
        let problem: Json = request.send().await.unwrap().json().await.unwrap();
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(told)), "{problem}");
    }
    for (name, value) in [(header::HOST, "evil.example"), (header::ORIGIN, "https://evil.example")] {
        assert_eq!(post(&world, &ping, &[(name, value)]).await.status(), StatusCode::FORBIDDEN, "{value}");
    }
}

#[tokio::test]
async fn over_http_who_is_refused_is_told_what_to_send() {
    let world = World::start().await;
    let ping = message("tools/list", &json!({}));
    for (name, value, status, told) in [
        (header::ACCEPT, "application/json", StatusCode::NOT_ACCEPTABLE, "text/event-stream"),
        (header::CONTENT_TYPE, "text/plain", StatusCode::UNSUPPORTED_MEDIA_TYPE, "application/json"),
    ] {
        let answer = post(&world, &ping, &[(name, value)]).await;
        assert_eq!(answer.status(), status, "{value}");
        let problem: Json = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert!(problem["detail"].as_str().unwrap().contains(told), "{problem}");
    }
}

#[tokio::test]
async fn a_stop_ends_the_streams_over_http_in_order() {
    let manner = Manner { latency: Duration::from_millis(500), ..Manner::default() };
    let world = World::with(Settings { manner, ..Settings::default() }, &[]).await;
    for n in 0..300 {
        world.workspace().create(company(&format!("Company {n}")).website(&format!("c{n}.example")));
    }
    let params = json!({"name": "sync_suppression_cache", "_meta": {"progressToken": "p"}});
    let mut answer = post(&world, &message("tools/call", &params), &[]).await;
    assert!(answer.chunk().await.unwrap().is_some());
    let rest = async {
        let mut rest = String::new();
        while let Ok(Some(chunk)) = answer.chunk().await {
            rest.push_str(&String::from_utf8_lossy(&chunk));
        }
        rest
    };
    let (ended, rest) = tokio::join!(world.stop(), rest);
    assert_eq!(ended, Ended::Stopped);
    assert!(rest.contains("\"result\""), "the call ends with a word: {rest}");
}
