//! The ways in: a pipe from the program that started us, and HTTP.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Router,
    extract::Request,
    http::header,
    middleware::{Next, from_fn},
    response::Response,
};
use rmcp::{
    ServiceExt as _,
    service::ServerInitializeError,
    transport::{
        async_rw::AsyncRwTransport,
        io::stdio_pipes,
        streamable_http_server::{
            session::never::NeverSessionManager,
            tower::{StreamableHttpServerConfig, StreamableHttpService},
        },
    },
};
use tokio::io::AsyncWrite;
use tokio_util::sync::CancellationToken;

use crate::mcp::{Desk, Server};

/// A message is refused beyond this: a question about 1,000 companies stays below it.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// Why the pipe was of no use.
#[derive(Debug, thiserror::Error)]
#[error("the client does not speak MCP: {0}")]
pub struct NoConversation(String);

/// Talks over stdin and stdout, until one of them is closed or `stop` is cancelled; then waits for the calls at work to end.
pub async fn stdio<D: Desk>(desk: D, stop: &CancellationToken) -> Result<(), NoConversation> {
    // Its own token: the SDK cancels what it is given when the conversation is over.
    let over = stop.child_token();
    let server = Server::new(desk, over.clone());
    let (input, output) = stdio_pipes();
    let output = Output { pipe: output, over: over.clone() };
    let transport = AsyncRwTransport::new_server(input, output).with_max_line_length(MESSAGE_BYTES_MAX);
    let ended = match server.clone().serve_with_ct(transport, over.clone()).await {
        Ok(conversation) => {
            drop(conversation.waiting().await);
            Ok(())
        }
        // Who hangs up before the first word wanted nothing.
        Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => Ok(()),
        // So does who does not read ours.
        Err(_) if over.is_cancelled() => Ok(()),
        Err(error) => Err(NoConversation(error.to_string())),
    };
    over.cancel();
    server.idle().await;
    ended
}

/// A pipe; that nobody reads it any more is the end of the conversation.
#[derive(Debug)]
struct Output<W> {
    pipe: W,
    over: CancellationToken,
}

impl<W> Output<W> {
    fn seen<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if matches!(written, Poll::Ready(Err(_))) {
            self.over.cancel();
        }
        written
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Output<W> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.pipe).poll_write(context, bytes);
        self.seen(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.pipe).poll_flush(context);
        self.seen(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(context)
    }
}

/// Builds the route `/mcp`.
///
/// There are no sessions: each request stands alone and is answered with JSON, or with a stream of events where there is
/// progress to tell. Whoever hangs up cancels what was asked. Which hosts, origins and tokens are let through, and how
/// large a body may be, is the business of whoever takes the route in. Long calls end when `soft` is cancelled, streams
/// when `hard` is.
pub fn router<D: Desk>(desk: D, soft: &CancellationToken, hard: &CancellationToken) -> Router {
    let server = Server::new(desk, soft.child_token());
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .disable_allowed_hosts()
        .with_max_request_body_bytes(MESSAGE_BYTES_MAX)
        .with_cancellation_token(hard.child_token());
    let service =
        StreamableHttpService::new(move || Ok(server.clone()), Arc::new(NeverSessionManager::default()), config);
    Router::new().route_service("/mcp", service).layer(from_fn(without_token))
}

/// The SDK keeps the head of each request beside its message: nobody needs the token there any more.
async fn without_token(mut request: Request, next: Next) -> Response {
    request.headers_mut().remove(header::AUTHORIZATION);
    next.run(request).await
}
