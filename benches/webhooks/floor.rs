//! The floor: the least that verifies a delivery, makes it durable together with those that wait beside it, and answers.

use std::{
    net::SocketAddr,
    path::Path,
    sync::mpsc::{self, Receiver, Sender},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
    serve::ListenerExt as _,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rusqlite::{Connection, params};
use sha2::Sha256;
use tokio::{net::TcpListener, sync::oneshot};

use crate::deliveries::{EVENT_ID, TOKEN};

/// Deliveries that share one commit at most, as in the store.
const PER_COMMIT: usize = 512;

struct Append {
    body: Bytes,
    done: oneshot::Sender<()>,
}

#[derive(Clone)]
struct Floor {
    key: Hmac<Sha256>,
    writer: Sender<Append>,
}

/// Serves the floor over a new database at `db`.
pub(crate) async fn start(db: &Path) -> SocketAddr {
    let connection = connect(db);
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    connection.execute_batch("CREATE TABLE inbox (id INTEGER PRIMARY KEY, event_id TEXT UNIQUE, body BLOB)").unwrap();
    let (writer, appends) = mpsc::channel();
    std::thread::spawn(move || write(&connection, &appends));
    let floor = Floor { key: Hmac::new_from_slice(TOKEN.as_bytes()).unwrap(), writer };
    let router = Router::new().route("/webhooks/notion", post(receive)).with_state(floor);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
    drop(tokio::runtime::Handle::current().spawn(async move { axum::serve(listener, router).await }));
    address
}

async fn receive(State(floor): State<Floor>, headers: HeaderMap, body: Bytes) -> (StatusCode, &'static str) {
    let signature = headers.get("x-notion-signature").and_then(|header| header.as_bytes().strip_prefix(b"sha256="));
    let mut digest = [0; 32];
    if signature.is_none_or(|digits| hex::decode_to_slice(digits, &mut digest).is_err())
        || floor.key.chain_update(&body).verify_slice(&digest).is_err()
    {
        return (StatusCode::UNAUTHORIZED, "");
    }
    let (done, written) = oneshot::channel();
    floor.writer.send(Append { body, done }).unwrap();
    written.await.unwrap();
    (StatusCode::OK, "OK")
}

/// Commits whatever waits, then answers it.
fn write(connection: &Connection, appends: &Receiver<Append>) {
    while let Ok(first) = appends.recv() {
        let batch: Vec<Append> = std::iter::once(first).chain(appends.try_iter().take(PER_COMMIT - 1)).collect();
        connection.prepare_cached("BEGIN IMMEDIATE").unwrap().execute([]).unwrap();
        for Append { body, .. } in &batch {
            let id = str::from_utf8(&body[EVENT_ID]).unwrap();
            let mut insert =
                connection.prepare_cached("INSERT OR IGNORE INTO inbox (event_id, body) VALUES (?1, ?2)").unwrap();
            insert.execute(params![id, &body[..]]).unwrap();
        }
        connection.prepare_cached("COMMIT").unwrap().execute([]).unwrap();
        for append in batch {
            append.done.send(()).unwrap();
        }
    }
}

/// Counts the rows of a table.
pub(crate) fn count(db: &Path, table: &str) -> usize {
    connect(db).query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the floor has nothing of the store, its pragmas included")]
fn connect(db: &Path) -> Connection {
    Connection::open(db).unwrap()
}
