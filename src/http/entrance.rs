//! Letting connections in, each to a seat of its own, and answering them there.

use std::{
    future::{Ready, ready},
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Extension,
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::StatusCode,
    middleware::{AddExtension, Next},
    response::{IntoResponse as _, Response},
};
use axum_server::{AddrListener, Address, accept::Accept};
use http_body::{Frame, SizeHint};
use tokio::net::TcpListener;
use tower::Layer as _;

use crate::{
    http::{
        connection::Connection,
        seats::{Seat, Seats, Turn},
    },
    metrics::Metrics,
};

/// Lets connections in and keeps no more than a number of them open.
///
/// Where every seat is taken, the one that has kept us waiting for the longest has to leave, and once it has left, the
/// newcomer gets its seat: a crowd that is silent, or sends its requests drop by drop, keeps nobody out. What counts is
/// when a request began, or when we last said something in answer; further bytes of a request make it no younger. Who
/// waits for us, because the whole request is here, leaves only where all the others wait for us as well.
///
/// A newcomer waits for its seat before the next one is accepted. A crowd that comes faster than the others can be
/// listened to, or be shown out, stays outside.
#[derive(Debug)]
pub(super) struct Entrance {
    socket: TcpListener,
    seats: Arc<Seats>,
    idle_max: Duration,
    metrics: Metrics,
}

impl Entrance {
    /// Makes the entrance to this many seats, for connections that may idle for `idle_max`.
    pub(super) fn new(socket: TcpListener, seats: usize, idle_max: Duration, metrics: Metrics) -> Self {
        Self { socket, seats: Arc::new(Seats::new(seats)), idle_max, metrics }
    }
}

/// Where somebody comes from, which is of no interest here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place;

impl Address for Place {
    type Stream = Connection;
    type Listener = Entrance;
}

impl AddrListener<Connection, Place> for Entrance {
    async fn bind_to(_place: Place) -> io::Result<Self> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "an entrance is made of a socket that is bound"))
    }

    async fn accept_stream(&self) -> io::Result<(Connection, Place)> {
        let (stream, _address) = self.socket.accept().await?;
        stream.set_nodelay(true)?;
        Ok((Connection::new(stream, self.seats.sit(&self.metrics).await, self.idle_max), Place))
    }

    fn get_local_addr(&self) -> io::Result<Place> {
        Ok(Place)
    }
}

/// Tells those who answer which seat asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usher;

impl<S> Accept<Connection, S> for Usher {
    type Stream = Connection;
    type Service = AddExtension<S, Arc<Seat>>;
    type Future = Ready<io::Result<(Connection, Self::Service)>>;

    fn accept(&self, connection: Connection, service: S) -> Self::Future {
        let service = Extension(connection.seat()).layer(service);
        ready(Ok((connection, service)))
    }
}

/// Answers while the seat is kept: it is our turn from the end of the request to the answer.
pub(super) async fn answer_seated(Extension(seat): Extension<Arc<Seat>>, request: Request, next: Next) -> Response {
    let give_way = seat.give_way();
    let heard = Arc::clone(&seat);
    let request = request.map(|body| Body::new(Heard::begin(body, heard)));
    let answer = tokio::select! {
        answer = next.run(request) => answer,
        // It will not be heard, as the connection is closed.
        () = give_way => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    };
    seat.pass(Turn::Theirs);
    answer
}

/// A request's body, whose end makes it our turn.
struct Heard {
    body: Body,
    seat: Arc<Seat>,
}

impl Heard {
    fn begin(body: Body, seat: Arc<Seat>) -> Self {
        let heard = Self { body, seat };
        heard.note_end(false);
        heard
    }

    fn note_end(&self, has_ended: bool) {
        if has_ended || self.body.is_end_stream() {
            self.seat.pass(Turn::Ours);
        }
    }
}

impl HttpBody for Heard {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.note_end(frame.is_none());
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, net::SocketAddr, pin::pin};

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;

    async fn entrance(seats: usize) -> (Entrance, SocketAddr) {
        let socket = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        (Entrance::new(socket, seats, Duration::from_hours(1), Metrics::default()), address)
    }

    /// Polls a future once.
    async fn once<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        match poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    async fn arrive(entrance: &Entrance, address: SocketAddr) -> (TcpStream, Connection) {
        let (outside, inside) = tokio::join!(TcpStream::connect(address), entrance.accept_stream());
        (outside.unwrap(), inside.unwrap().0)
    }

    #[tokio::test]
    async fn who_was_never_listened_to_leaves_after_those_who_were_silent() {
        let (entrance, address) = entrance(2).await;
        let (mut early, mut unheard) = arrive(&entrance, address).await;
        early.write_all(b"a").await.unwrap();
        let (_outside, mut silent) = arrive(&entrance, address).await;
        let mut buffer = [0; 8];
        assert!(once(silent.read(&mut buffer)).await.is_none());
        let _third = TcpStream::connect(address).await.unwrap();
        let mut waits = pin!(entrance.accept_stream());
        let gone = tokio::select! {
            _ = &mut waits => panic!("there is no seat yet"),
            gone = silent.read(&mut buffer) => gone.unwrap_err(),
        };
        assert_eq!(gone.kind(), io::ErrorKind::QuotaExceeded);
        assert_eq!(unheard.read(&mut buffer).await.unwrap(), 1);
        drop(silent);
        waits.await.unwrap();
    }

    #[tokio::test]
    async fn nobody_is_let_in_before_the_one_who_has_to_leave_has_left() {
        let (entrance, address) = entrance(1).await;
        let (_outside, inside) = arrive(&entrance, address).await;
        let _newcomer = TcpStream::connect(address).await.unwrap();
        let mut waits = pin!(entrance.accept_stream());
        tokio::select! {
            biased;
            _ = &mut waits => panic!("two have one seat"),
            () = inside.seat().give_way() => {}
        }
        assert!(once(&mut waits).await.is_none());
        assert_eq!(entrance.metrics.connections_crowded_out.get(), 1);
        drop(inside);
        waits.await.unwrap();
        let free = once(entrance.seats.sit(&entrance.metrics)).await;
        assert!(free.is_some(), "the seat of a connection that is gone is free");
    }

    #[tokio::test]
    async fn who_has_to_leave_hears_nothing_more_even_where_there_is_something() {
        let (entrance, address) = entrance(1).await;
        let (mut outside, mut inside) = arrive(&entrance, address).await;
        outside.write_all(b"more and more").await.unwrap();
        inside.seat().show_out();
        assert_eq!(inside.read(&mut [0; 8]).await.unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
        assert_eq!(inside.write(b"a").await.unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
    }
}
