//! One accepted connection: seated while it is open, closed when it idles or has to give way, and closed gently.

use std::{
    future::{Ready, ready},
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum_server::accept::Accept;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::metrics::Metrics;

/// After our last word a sender has this long to stop sending.
const LINGER: Duration = Duration::from_secs(2);

/// And we listen to no more than this of what it still says.
const LINGER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Lets connections in and keeps no more than a number of them open.
///
/// Where every seat is taken, a newcomer gets the seat of the one that has kept us waiting for the longest: a crowd
/// that is silent, or sends its requests drop by drop, keeps nobody out. What counts is when a
/// request began, or when we last said something in answer; further bytes of a request make it no younger.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    seats: Arc<Seats>,
    idle_max: Duration,
    metrics: Metrics,
}

#[derive(Debug)]
struct Seats {
    max: usize,
    taken: Mutex<Vec<Arc<Seat>>>,
}

/// The seat of one connection.
#[derive(Debug)]
struct Seat {
    waiting_since: Mutex<Instant>,
    give_way: CancellationToken,
}

/// A seat as long as its connection is open.
#[derive(Debug)]
struct Seated {
    seat: Arc<Seat>,
    seats: Arc<Seats>,
}

impl Gate {
    /// Makes a gate with this many seats, for connections that may idle for `idle_max`.
    pub(crate) fn new(seats: usize, idle_max: Duration, metrics: Metrics) -> Self {
        Self { seats: Arc::new(Seats { max: seats, taken: Mutex::default() }), idle_max, metrics }
    }

    fn enter(&self, stream: TcpStream) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        let seat = Arc::new(Seat { waiting_since: Mutex::new(Instant::now()), give_way: CancellationToken::new() });
        if self.seats.take(&seat) {
            self.metrics.connections_crowded_out.count();
        }
        Ok(Connection {
            stream,
            idle: Box::pin(sleep(self.idle_max)),
            idle_max: self.idle_max,
            give_way: Box::pin(seat.give_way.clone().cancelled_owned()),
            in_request: false,
            lingering: false,
            heard: 0,
            seated: Seated { seat, seats: Arc::clone(&self.seats) },
        })
    }
}

impl Seats {
    /// Takes a seat; says whether somebody has to give way for it.
    fn take(&self, seat: &Arc<Seat>) -> bool {
        let mut taken = lock(&self.taken);
        let full = taken.len() >= self.max;
        if full {
            let longest = taken.iter().enumerate().min_by_key(|(_, seat)| *lock(&seat.waiting_since));
            if let Some(at) = longest.map(|(at, _)| at) {
                taken.swap_remove(at).give_way.cancel();
            }
        }
        taken.push(Arc::clone(seat));
        full
    }
}

impl Drop for Seated {
    /// Gives the seat back, unless somebody else has it by now.
    fn drop(&mut self) {
        lock(&self.seats.taken).retain(|seat| !Arc::ptr_eq(seat, &self.seat));
    }
}

/// What is locked here is never half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S> Accept<TcpStream, S> for Gate {
    type Stream = Connection;
    type Service = S;
    type Future = Ready<io::Result<(Connection, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        ready(self.enter(stream).map(|connection| (connection, service)))
    }
}

/// A connection that holds its seat while it is open.
///
/// The HTTP library ends a connection whose head does not come in time, but not one that never says anything: so the
/// stream itself gives up when nothing moves in either direction.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    idle_max: Duration,
    give_way: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Whether bytes have come since our last word.
    in_request: bool,
    /// Whether our last word is said.
    lingering: bool,
    /// How many bytes came since.
    heard: usize,
    seated: Seated,
}

impl Connection {
    /// Passes on what moved, and gives up where nothing has moved for too long or somebody else needs the seat.
    fn unless_idle<T>(&mut self, moved: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if moved.is_ready() {
            self.idle.as_mut().reset(Instant::now() + self.idle_max);
            return moved;
        }
        if self.give_way.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into()));
        }
        self.idle.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Notes that a request begins with what was heard, or that something was said: an answer, or more of one.
    fn turn(&mut self, in_request: bool) {
        if !(self.in_request && in_request) {
            self.in_request = in_request;
            *lock(&self.seated.seat.waiting_since) = Instant::now();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.stream).poll_read(context, buffer);
        if moved.is_ready() {
            self.turn(true);
        }
        self.unless_idle(moved, context)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write(context, bytes);
        if moved.is_ready() {
            self.turn(false);
        }
        self.unless_idle(moved, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        if moved.is_ready() {
            self.turn(false);
        }
        self.unless_idle(moved, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Says that nothing more will come, then reads on for a little without keeping anything.
    ///
    /// A socket that is closed while the other side still sends is reset, and the reset can overtake our answer: whose
    /// body was refused for its size would see a broken connection instead of a 413.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.lingering {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
            this.idle.as_mut().reset(Instant::now() + LINGER);
            this.lingering = true;
        }
        let mut scrap = [0; 8 * 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut scrap);
            match Pin::new(&mut this.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() && this.heard < LINGER_BYTES_MAX => {
                    this.heard += buffer.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending if this.give_way.as_mut().poll(context).is_ready() => return Poll::Ready(Ok(())),
                Poll::Pending => return this.idle.as_mut().poll(context).map(Ok),
            }
        }
    }
}
